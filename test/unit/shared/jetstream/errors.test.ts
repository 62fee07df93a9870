import { describe, expect, test } from 'vitest';
import {
  ApiError,
  apiError,
  apiErrorText,
  errorCodes,
  errorTemplate,
} from '../../../../src/shared/jetstream/errors.ts';

describe('the table of errors', () => {
  test('has every number of 2.15 once', () => {
    const codes = errorCodes();
    expect(codes).toHaveLength(226);
    expect(codes[0]).toBe(10002);
    expect(codes[codes.length - 1]).toBe(10227);
    expect(codes.every((code, index) => code === 10002 + index)).toBe(true);
  });

  test('has codes in the manner of HTTP and texts that are not empty', () => {
    for (const code of errorCodes()) {
      const { code: status, template } = errorTemplate(code);
      expect([400, 404, 409, 412, 429, 500, 503]).toContain(status);
      expect(template).not.toBe('');
    }
  });
});

describe('an error', () => {
  test('without placeholders', () => {
    expect(apiError(10059)).toEqual(new ApiError(404, 10059, 'stream not found'));
  });

  test('with placeholders', () => {
    const values = { prefix: 'a', subject: 'b' };
    expect(apiError(10021, values).description).toBe('stream external api prefix a must not overlap with b');
  });

  test('keeps values that look like placeholders or replacement patterns', () => {
    expect(apiError(10070, { id: '$&{id}' }).description).toBe('wrong last msg ID: $&{id}');
  });

  test('of a reason alone', () => {
    expect(apiErrorText(10052, 'why').description).toBe('why');
    expect(apiErrorText(10025, 'why').description).toBe('invalid JSON: why');
  });
});
