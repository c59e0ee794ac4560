<?php

declare(strict_types=1);

namespace AntomAgent;

/**
 * @internal One MessagePack value, strictly.
 *
 * msgpack_unpack is not used on what a socket says: by default (msgpack.php_only) it makes objects of whatever class a map names
 * and resolves references; with that switched off it still turns extension types into null and integers over 2^63 into
 * texts, and none of its forms tells an empty map from an empty array or a trailing byte from none. Here there are null,
 * bool, int, float, string and array, and everything else is BAD_FRAME. An unsigned integer over 2^63 - 1 is a float, as in json_decode.
 */
final class Decoder
{
    private const DEPTH_MAX = 16; // the agent's own limit for requests is 8
    private const ITEMS_MAX = 65536;

    private int $at = 0;
    private int $items = 0;
    private readonly int $end;

    public function __construct(private readonly string $data)
    {
        $this->end = strlen($data);
    }

    /** Steps into an array and returns how many values it has; null: another type is next. */
    public function enterArray(): ?int
    {
        if (!self::isArrayHead($this->peek())) {
            return null;
        }
        $this->countItem();
        return $this->count($this->byte(), 0x90, 0xdc, 1);
    }

    /** Whether a map is next; as PHP arrays, {} and [] look the same. */
    public function isAtMap(): bool
    {
        return self::isMapHead($this->peek());
    }

    /** The next value; $depth counts from 1 for the message. */
    public function value(int $depth = 2): mixed
    {
        $this->countItem();
        $head = $this->byte();
        return match (true) {
            $head <= 0x7f => $head,
            $head >= 0xe0 => $head - 0x100,
            self::isMapHead($head) => $this->map($this->count($head, 0x80, 0xde, 2), $depth),
            self::isArrayHead($head) => $this->list($this->count($head, 0x90, 0xdc, 1), $depth),
            $head <= 0xbf => $this->text($head & 0x1f),
            default => $this->wide($head),
        };
    }

    /** @throws AntomException BAD_FRAME when bytes are left */
    public function end(): void
    {
        if ($this->at !== $this->end) {
            throw AntomException::badFrame('bytes behind a message');
        }
    }

    private function wide(int $head): mixed
    {
        return match ($head) {
            0xc0 => null,
            0xc2 => false,
            0xc3 => true,
            0xc4 => $this->take($this->unsigned(1)),
            0xc5 => $this->take($this->unsigned(2)),
            0xc6 => $this->take($this->unsigned(4)),
            0xca => unpack('G', $this->take(4))[1],
            0xcb => unpack('E', $this->take(8))[1],
            0xcc => $this->unsigned(1),
            0xcd => $this->unsigned(2),
            0xce => $this->unsigned(4),
            0xcf => $this->unsigned64(),
            0xd0 => ($this->unsigned(1) ^ 0x80) - 0x80,
            0xd1 => ($this->unsigned(2) ^ 0x8000) - 0x8000,
            0xd2 => ($this->unsigned(4) ^ 0x80000000) - 0x80000000,
            0xd3 => unpack('J', $this->take(8))[1],
            0xd9 => $this->text($this->unsigned(1)),
            0xda => $this->text($this->unsigned(2)),
            0xdb => $this->text($this->unsigned(4)),
            default => throw AntomException::badFrame('a type that no message has'), // c1 and extensions
        };
    }

    /** @return list<mixed> */
    private function list(int $count, int $depth): array
    {
        $this->checkDepth($depth);
        $out = [];
        for (; $count > 0; $count--) {
            $out[] = $this->value($depth + 1);
        }
        return $out;
    }

    /** @return array<mixed> */
    private function map(int $count, int $depth): array
    {
        $this->checkDepth($depth);
        $out = [];
        for (; $count > 0; $count--) {
            $head = $this->peek();
            if (($head & 0xe0) !== 0xa0 && ($head < 0xd9 || $head > 0xdb)) {
                throw AntomException::badFrame('a key that is no text');
            }
            $key = $this->value($depth + 1);
            if (array_key_exists($key, $out)) {
                throw AntomException::badFrame('a key twice');
            }
            $out[$key] = $this->value($depth + 1);
        }
        return $out;
    }

    /** How many values or pairs follow. More than there can be are refused before anything is made of them. */
    private function count(int $head, int $short, int $long, int $bytesEach): int
    {
        $count = $head < 0xa0 ? $head - $short : $this->unsigned($head === $long ? 2 : 4);
        if ($count * $bytesEach > $this->end - $this->at) {
            throw AntomException::badFrame('a value that is cut off');
        }
        return $count;
    }

    private function text(int $size): string
    {
        $text = $this->take($size);
        if (preg_match('//u', $text) !== 1) {
            throw AntomException::badFrame('text that is not UTF-8');
        }
        return $text;
    }

    private function unsigned(int $bytes): int
    {
        return hexdec(bin2hex($this->take($bytes)));
    }

    private function unsigned64(): int|float
    {
        $value = unpack('J', $this->take(8))[1];
        return $value >= 0 ? $value : $value + 2.0 ** 64;
    }

    private function byte(): int
    {
        return ord($this->take(1));
    }

    private function peek(): int
    {
        if ($this->at >= $this->end) {
            throw AntomException::badFrame('a value that is cut off');
        }
        return ord($this->data[$this->at]);
    }

    private function take(int $size): string
    {
        if ($size > $this->end - $this->at) {
            throw AntomException::badFrame('a value that is cut off');
        }
        $this->at += $size;
        return substr($this->data, $this->at - $size, $size);
    }

    private function countItem(): void
    {
        if (++$this->items > self::ITEMS_MAX) {
            throw AntomException::badFrame('too many values');
        }
    }

    private function checkDepth(int $depth): void
    {
        if ($depth > self::DEPTH_MAX) {
            throw AntomException::badFrame('values nested too deeply');
        }
    }

    private static function isArrayHead(int $head): bool
    {
        return ($head & 0xf0) === 0x90 || $head === 0xdc || $head === 0xdd;
    }

    private static function isMapHead(int $head): bool
    {
        return ($head & 0xf0) === 0x80 || $head === 0xde || $head === 0xdf;
    }
}
