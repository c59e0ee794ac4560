<?php

declare(strict_types=1);

namespace AntomAgent\Tests;

use AntomAgent\AntomException;
use AntomAgent\Encoder;
use PHPUnit\Framework\TestCase;

final class EncoderTest extends TestCase
{
    private const START = '940005a16d'; // a request with id 5 of the method "m", up to its params

    private static function hex(array $params, int $frameMax = Encoder::FRAME_MAX): string
    {
        return bin2hex(Encoder::request(5, 'm', $params, $frameMax));
    }

    /** The bytes of PROTOCOL.md section 11. */
    public function testTheExamplesOfTheProtocol(): void
    {
        self::assertSame('0000000b' . '940001a66865616c746880', bin2hex(Encoder::request(1, 'health', [], Encoder::FRAME_MAX)));
        $params = ['profile' => 'shop/sandbox', 'method' => 'POST', 'uri' => '/ams/sandbox/api/v1/payments/pay', 'body' => '{"a":1}'];
        $hex = '00000066' . '940002' . 'ac7369676e5f72657175657374' . '84' . 'a770726f66696c65' . 'ac73686f702f73616e64626f78' .
            'a66d6574686f64' . 'a4504f5354' . 'a3757269' .
            'd9202f616d732f73616e64626f782f6170692f76312f7061796d656e74732f706179' . 'a4626f6479' . 'c4077b2261223a317d';
        self::assertSame($hex, bin2hex(Encoder::request(2, 'sign_request', $params, Encoder::FRAME_MAX)));
    }

    public function values(): array
    {
        $shared = ['x' => 1];
        return [
            'no params' => [[], '80'],
            'null is not given' => [['a' => null, 'b' => 1], '81a16201'],
            'no headers' => [['headers' => []], '81a76865616465727380'],
            'a header whose name is a number' => [['headers' => ['7' => 'x']], '81a768656164657273' . '81a137a178'],
            'headers with a list' => [['headers' => ['a' => ['b', 'c']]], '81a768656164657273' . '81a16192a162a163'],
            'bytes that are no text' => [['body' => "\xff\0"], '81a4626f6479' . 'c402ff00'],
            'no bytes' => [['body' => ''], '81a4626f6479' . 'c400'],
            'text' => [['t' => 'é'], '81a174a2c3a9'],
            'integers, floats and booleans' => [['v' => [1, -1, 1.0, true, false]], '81a176' . '9501ff' . 'cb3ff0000000000000' . 'c3c2'],
            'nil in a list' => [['v' => [null]], '81a17691c0'],
            'PHP references' => [['v' => [&$shared, &$shared]], '81a176' . '9281a1780181a17801'],
        ];
    }

    /** @dataProvider values */
    public function testValues(array $params, string $hex): void
    {
        $frame = self::hex($params);
        self::assertSame(self::START . $hex, substr($frame, 8));
        self::assertSame(strlen($frame) / 2 - 4, hexdec(substr($frame, 0, 8)));
    }

    public function sizes(): array
    {
        return [[255, 'c4ff'], [256, 'c50100'], [65535, 'c5ffff'], [65536, 'c600010000'], [1048576, 'c600100000']];
    }

    /** @dataProvider sizes */
    public function testBodiesOfEachSize(int $size, string $head): void
    {
        $hex = self::hex(['body' => str_repeat('x', $size)]);
        self::assertStringStartsWith(self::START . '81a4626f6479' . $head . '7878', substr($hex, 8));
        self::assertStringEndsWith('78', $hex);
    }

    public function testLargeContainers(): void
    {
        self::assertStringContainsString('dc0010', self::hex(['v' => range(0, 15)]));
        self::assertStringContainsString('dd00010000', self::hex(['v' => array_fill(0, 65536, 0)]));
        $headers = [];
        for ($n = 0; $n < 16; $n++) {
            $headers["h$n"] = 'x';
        }
        self::assertStringContainsString('de0010', self::hex(['headers' => $headers]));
    }

    public function refused(): array
    {
        $endless = [];
        $endless[0] = &$endless;
        return [
            'an object' => [['v' => new \stdClass()], 'v'],
            'one inside' => [['headers' => ['a' => new \DateTime()]], 'headers'],
            'a resource' => [['v' => STDIN], 'v'],
            'too deep' => [['v' => [[[[[[[1]]]]]]]], 'v'],
            'an array within itself' => [['v' => $endless], 'v'],
        ];
    }

    /** @dataProvider refused */
    public function testWhatCannotBeSent(array $params, string $field): void
    {
        try {
            self::hex($params);
            self::fail('it was encoded');
        } catch (AntomException $e) {
            self::assertSame([104, 'BAD_PARAM', $field], [$e->getCode(), $e->status, $e->field]);
        }
    }

    public function testDeepEnough(): void
    {
        self::assertStringContainsString('91919191919101', self::hex(['v' => [[[[[[1]]]]]]]));
    }

    public function testNoLargerThanTheLimit(): void
    {
        $size = strlen(self::hex(['body' => 'abc'])) / 2 - 4;
        self::assertNotSame('', self::hex(['body' => 'abc'], $size));
        $this->expectException(AntomException::class);
        $this->expectExceptionMessage("at most " . ($size - 1) . " can be sent");
        self::hex(['body' => 'abc'], $size - 1);
    }
}
