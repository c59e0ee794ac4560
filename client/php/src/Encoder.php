<?php

declare(strict_types=1);

namespace AntomAgent;

/**
 * @internal Requests as frames.
 *
 * The extension packs numbers and texts. Maps, arrays and bytes are put together here, because it cannot write an empty map,
 * has no bin, makes numbers of keys that look like one, and writes objects and PHP references in a form of its own.
 */
final class Encoder
{
    public const FRAME_MAX = 1114112; // until hello tells another
    private const DEPTH_MAX = 8;

    /**
     * @param array<mixed> $params null counts as not given
     * @throws AntomException BAD_PARAM for what cannot be sent
     */
    public static function request(int $id, string $method, array $params, int $frameMax): string
    {
        $pairs = '';
        $count = 0;
        foreach ($params as $name => $value) {
            if ($value !== null) {
                $pairs .= msgpack_pack((string) $name) . self::param((string) $name, $value);
                $count++;
            }
        }
        $value = "\x94\x00" . msgpack_pack($id) . msgpack_pack($method) . self::head(0x80, 0xde, $count) . $pairs;
        $size = strlen($value);
        if ($size > $frameMax) {
            throw AntomException::badParam('body', "the request has $size bytes; at most $frameMax can be sent");
        }
        return pack('N', $size) . $value;
    }

    private static function param(string $name, mixed $value): string
    {
        if ($name === 'body' && is_string($value)) {
            return self::bin($value);
        }
        if ($name === 'headers' && is_array($value)) {
            return self::map($value, $name, 3);
        }
        return self::value($value, $name, 3);
    }

    private static function value(mixed $value, string $field, int $depth): string
    {
        if (is_array($value)) {
            return array_is_list($value) ? self::list($value, $field, $depth) : self::map($value, $field, $depth);
        }
        if ($value !== null && !is_scalar($value)) {
            throw AntomException::badParam($field, 'holds a ' . get_debug_type($value) . ', which cannot be sent');
        }
        return msgpack_pack($value);
    }

    /** @param list<mixed> $values */
    private static function list(array $values, string $field, int $depth): string
    {
        self::checkDepth($field, $depth);
        $out = self::head(0x90, 0xdc, count($values));
        foreach ($values as $value) {
            $out .= self::value($value, $field, $depth + 1);
        }
        return $out;
    }

    /** @param array<mixed> $map */
    private static function map(array $map, string $field, int $depth): string
    {
        self::checkDepth($field, $depth);
        $out = self::head(0x80, 0xde, count($map));
        foreach ($map as $key => $value) {
            $out .= msgpack_pack((string) $key) . self::value($value, $field, $depth + 1);
        }
        return $out;
    }

    private static function checkDepth(string $field, int $depth): void
    {
        if ($depth > self::DEPTH_MAX) {
            throw AntomException::badParam($field, 'is nested too deeply');
        }
    }

    /** Head of an array or map: $short holds up to 15, $long a count of 16 bits, the byte behind it one of 32. */
    private static function head(int $short, int $long, int $count): string
    {
        return match (true) {
            $count < 16 => chr($short | $count),
            $count <= 0xffff => pack('Cn', $long, $count),
            default => pack('CN', $long + 1, $count),
        };
    }

    private static function bin(string $bytes): string
    {
        $size = strlen($bytes);
        return match (true) {
            $size <= 0xff => pack('CC', 0xc4, $size),
            $size <= 0xffff => pack('Cn', 0xc5, $size),
            default => pack('CN', 0xc6, $size),
        } . $bytes;
    }
}
