<?php

declare(strict_types=1);

namespace AntomAgent\Tests;

use AntomAgent\AntomException;
use AntomAgent\Decoder;
use AntomAgent\Message;
use PHPUnit\Framework\TestCase;

/** Its like is what a class that is named on the wire would do. */
final class Trap
{
    public static int $count = 0;

    public function __construct()
    {
        self::$count++;
    }

    public function __wakeup(): void
    {
        self::$count++;
    }

    public function __destruct()
    {
        self::$count++;
    }
}

final class DecoderTest extends TestCase
{
    private static function decode(string $hex): mixed
    {
        $decoder = new Decoder(hex2bin($hex));
        $value = $decoder->value();
        $decoder->end();
        return $value;
    }

    public function values(): array
    {
        return [
            ['c0', null], ['c2', false], ['c3', true], ['00', 0], ['7f', 127], ['e0', -32], ['ff', -1], ['cc00', 0], ['ccff', 255],
            ['cdffff', 65535], ['ceffffffff', 4294967295], ['cf7fffffffffffffff', PHP_INT_MAX], ['cf8000000000000000', 2.0 ** 63],
            ['cfffffffffffffffff', 2.0 ** 64], ['d080', -128], ['d07f', 127], ['d18000', -32768], ['d17fff', 32767],
            ['d280000000', -2147483648], ['d27fffffff', 2147483647], ['d38000000000000000', PHP_INT_MIN], ['d3ffffffffffffffff', -1],
            ['ca3fc00000', 1.5], ['cb3ff0000000000000', 1.0], ['a0', ''], ['a161', 'a'], ['d90161', 'a'], ['da000161', 'a'],
            ['db0000000161', 'a'], ['a2c3a9', 'é'], ['c400', ''], ['c402ff00', "\xff\0"], ['c50001ff', "\xff"], ['c600000001ff', "\xff"],
            ['90', []], ['9101', [1]], ['dc000101', [1]], ['dd0000000101', [1]], ['80', []], ['81a16101', ['a' => 1]],
            ['de0001a16101', ['a' => 1]], ['df00000001d9016101', ['a' => 1]], ['81a0c0', ['' => null]], ['81a13101', [1 => 1]],
        ];
    }

    /** @dataProvider values */
    public function testValues(string $hex, mixed $value): void
    {
        self::assertSame($value, self::decode($hex));
    }

    /** @dataProvider values */
    public function testEachPrefixIsCutOff(string $hex): void
    {
        for ($size = 0; $size < strlen($hex); $size += 2) {
            self::assertRefused(substr($hex, 0, $size));
        }
        self::assertRefused($hex . 'c0');
    }

    public function refused(): array
    {
        $types = [];
        foreach (['c1', 'c70001', 'c7010100', 'c800010100', 'c90000000101ff', 'd40100', 'd5010000', 'd6ff00000000',
            'd7ff0000000000000000', 'd8' . str_repeat('00', 17)] as $hex) {
            $types["type $hex"] = [$hex];
        }
        return $types + [
            'a list of 2 G' => ['dd7fffffff'], 'a map of 4 G' => ['dfffffffff'], 'a text of 4 G' => ['dbffffffff'],
            'text that is not UTF-8' => ['a1ff'], 'a key that is not UTF-8' => ['81a1ff00'], 'a surrogate' => ['a3eda080'],
            'a number for a key' => ['810101'], 'nil for a key' => ['81c001'], 'bytes for a key' => ['81c4016101'],
            'a list for a key' => ['819001'], 'a key twice' => ['82a16101a16102'], 'a number twice' => ['82a13101a13102'],
            'too deep' => [str_repeat('91', 16) . 'c0'], 'much too deep' => [str_repeat('91', 5000) . 'c0'],
            'maps too deep' => [str_repeat('81a161', 16) . 'c0'],
        ];
    }

    /** @dataProvider refused */
    public function testRefused(string $hex): void
    {
        self::assertRefused($hex);
    }

    public function testEdges(): void
    {
        self::assertNotSame([], self::decode(str_repeat('91', 15) . 'c0'));
        self::assertCount(65535, self::decode('dd0000ffff' . str_repeat('c0', 65535)));
        self::assertRefused('dd00010000' . str_repeat('c0', 65536));
    }

    public function testNoObjectIsEverMade(): void
    {
        $asked = [];
        $loader = static function (string $class) use (&$asked): void {
            $asked[] = $class;
        };
        $made = msgpack_pack(new Trap());
        self::assertInstanceOf(Trap::class, msgpack_unpack($made)); // what the extension does with it
        self::assertRefused(bin2hex($made)); // and loads all classes that this needs
        gc_collect_cycles();
        Trap::$count = 0;
        spl_autoload_register($loader, true, true);
        try {
            self::assertRefused(bin2hex($made));
            self::assertRefused('82c0' . bin2hex(msgpack_pack('AntomAgent\\Missing')) . 'a16101');
            self::assertRefused('9281a1610182c0040001'); // a reference
        } finally {
            spl_autoload_unregister($loader);
        }
        self::assertSame([0, []], [Trap::$count, $asked]);
    }

    /** What the extension packs of plain values is read as they were. */
    public function testAgreesWithTheExtension(): void
    {
        mt_srand($seed = random_int(0, PHP_INT_MAX));
        for ($n = 0; $n < 2000; $n++) {
            $value = self::random(4);
            self::assertSame($value, self::decode(bin2hex(msgpack_pack($value))), "seed $seed");
        }
    }

    private static function random(int $depth): mixed
    {
        $size = [0, 1, 3, 15, 16, 20][mt_rand(0, 5)];
        return match (mt_rand(0, $depth > 0 ? 8 : 6)) {
            0 => null,
            1 => (bool) mt_rand(0, 1),
            2 => mt_rand() >> mt_rand(0, 31),
            3 => -(mt_rand() << mt_rand(0, 31)),
            4 => mt_rand() / 7,
            5, 6 => str_repeat('aé', mt_rand(0, 1) === 0 ? $size : 200 * $size),
            7 => array_map(static fn () => self::random($depth - 1), array_fill(0, $size, 0)),
            8 => self::randomMap($size, $depth),
        };
    }

    private static function randomMap(int $size, int $depth): array
    {
        $map = [];
        for ($n = 0; $n < $size; $n++) {
            $map["key $n"] = self::random($depth - 1);
        }
        return $map;
    }

    public function messages(): array
    {
        return [
            'an answer' => ['940107c081a16101', [7, null, null, ['a' => 1], true]],
            'an empty map' => ['940107c080', [7, null, null, [], true]],
            'an empty list' => ['940107c090', [7, null, null, [], false]],
            'of nobody' => ['9401c081a4636f64651ec0', [null, null, 30, null, false]],
            'an error' => ['94010781a4636f6465cc68c0', [7, null, 104, null, false]],
            'an error without a code' => ['94010780c0', [7, null, 100, null, false]],
            'an error whose code is a truth' => ['94010781a4636f6465c3c0', [7, null, 100, null, false]],
            'an event' => ['9302a16580', [null, 'e', null, [], true]],
        ];
    }

    /** @dataProvider messages */
    public function testMessages(string $hex, array $expected): void
    {
        $m = Message::parse(hex2bin($hex));
        self::assertSame($expected, [$m->id, $m->event, $m->error?->getCode(), $m->value, $m->isMap]);
    }

    public function noMessages(): array
    {
        return array_map(static fn (string $hex): array => [$hex], [
            'nil' => 'c0', 'a map' => '80', 'an empty list' => '90', 'another kind' => '940707c080', 'too few' => '930107c0',
            'too many' => '950107c080c0', 'a truth for a kind' => '94c307c080', 'a float for a kind' => '94cb3ff000000000000007c080',
            'a text for an id' => '9401a137c080', 'a truth for an id' => '9401c3c080', 'a float for an id' => '9401cb3ff0000000000000c080',
            'a text for an error' => '940107a26e6fc0', 'a list for an error' => '94010790c0', 'a number for an event' => '93020180',
            'something behind it' => '940107c080c0', 'something missing' => '940107c0', 'a request' => '940007a16d80',
        ]);
    }

    /** @dataProvider noMessages */
    public function testNoMessages(string $hex): void
    {
        $this->expectException(AntomException::class);
        $this->expectExceptionCode(100);
        Message::parse(hex2bin($hex));
    }

    private static function assertRefused(string $hex): void
    {
        try {
            self::decode($hex);
            self::fail("$hex was decoded");
        } catch (AntomException $e) {
            self::assertSame([100, 'BAD_FRAME', 'caller'], [$e->getCode(), $e->status, $e->errorClass]);
        }
    }
}
