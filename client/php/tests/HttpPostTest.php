<?php

declare(strict_types=1);

namespace AntomAgent\Tests;

use AntomAgent\AntomException;
use AntomAgent\HttpPost;
use AntomAgent\Tests\Support\Antom;
use AntomAgent\Tests\Support\Certificate;
use AntomAgent\Tests\Support\HttpServer;
use PHPUnit\Framework\TestCase;

final class HttpPostTest extends TestCase
{
    /** @return \Closure(string, array<string, string>, string): string */
    private static function echoes(): \Closure
    {
        return static fn (string $request, array $headers, string $body): string =>
            Antom::response(['Got' => json_encode([$request, $headers])], $body, '418 Odd');
    }

    private static function failure(HttpPost $post, string $url): AntomException
    {
        try {
            $post($url, 'POST', [], 'x');
        } catch (AntomException $e) {
            return $e;
        }
        self::fail('it did not fail');
    }

    public function testPosts(): void
    {
        $server = new HttpServer(self::echoes());
        $body = random_bytes(1048576);
        $lines = ['A: 1', 'a:2', 'Content-Length: 3', 'HOST: elsewhere', 'Accept-Encoding: gzip', 'Connection: keep-alive'];
        [$status, $headers, $got] = (new HttpPost())("http://127.0.0.1:$server->port/p?q=%2f", 'POST', $lines, $body);
        self::assertSame(418, $status);
        self::assertSame($body, $got);
        [$request, $received] = json_decode($headers['Got'][0], true);
        self::assertSame('POST /p?q=%2f HTTP/1.1', $request);
        ksort($received);
        self::assertSame(['a' => '1 & 2', 'connection' => 'close', 'content-length' => '1048576', 'host' => "127.0.0.1:$server->port"],
            array_diff_key($received, ['user-agent' => 0, 'content-type' => 0]));
        self::assertSame('', $server->wrong());
    }

    /** Chunks are undone, and a name that comes twice stays twice. */
    public function testParts(): void
    {
        $server = new HttpServer(static fn (): array => ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: 1\r\nx: 2\r\n",
            "X: 3\r\n\r\n3\r\nab", "c\r\n2\r\nde\r\n0\r\n\r\n"]);
        self::assertSame([200, ['X' => ['1', '3'], 'x' => ['2']], 'abcde'],
            (new HttpPost())("http://127.0.0.1:$server->port/", 'POST', [], ''));
    }

    public function testTlsIsVerified(): void
    {
        $ours = new Certificate('IP:127.0.0.1');
        $server = new HttpServer(self::echoes(), $ours->pem);
        $url = "https://127.0.0.1:$server->port/p";
        self::assertSame('x', (new HttpPost(5.0, $ours->pem))($url, 'POST', [], 'x')[2]);

        $other = new Certificate('IP:127.0.0.1');
        foreach ([new HttpPost(5.0), new HttpPost(5.0, $other->pem)] as $post) {
            $e = self::failure($post, $url);
            self::assertSame([508, 'GATEWAY', 'retry'], [$e->getCode(), $e->status, $e->errorClass]);
        }
        $elsewhere = new Certificate('DNS:elsewhere.example');
        $server = new HttpServer(self::echoes(), $elsewhere->pem);
        self::assertSame('GATEWAY', self::failure(new HttpPost(5.0, $elsewhere->pem), "https://127.0.0.1:$server->port/p")->status);
    }

    public function testNotInTheClear(): void
    {
        foreach (['http://127.0.0.1.evil.example/p', 'http://gate.example/p', 'ftp://127.0.0.1/p', 'file:///etc/hostname', '/etc/hostname',
            'http://127.0.0.1@gate.example/', 'HTTP://gate.example/'] as $url) {
            $e = self::failure(new HttpPost(), $url);
            self::assertSame(['BAD_PARAM', 'url'], [$e->status, $e->field], $url);
        }
    }

    public function testNobodyThere(): void
    {
        $server = stream_socket_server('tcp://127.0.0.1:0');
        $name = stream_socket_get_name($server, false);
        fclose($server);
        $e = self::failure(new HttpPost(), "http://$name/p");
        self::assertSame('GATEWAY', $e->status);
        self::assertStringEndsWith('Connection refused', $e->reason);
    }

    public function testTooLarge(): void
    {
        $server = new HttpServer(static fn (): string => Antom::response([], str_repeat('x', 1048577)));
        self::assertStringContainsString('more than 1048576', self::failure(new HttpPost(), "http://127.0.0.1:$server->port/")->reason);
    }

    public function testTooSlow(): void
    {
        $server = stream_socket_server('tcp://127.0.0.1:0'); // its queue takes the connection, and nobody answers
        $before = hrtime(true);
        $e = self::failure(new HttpPost(0.2), 'http://' . stream_socket_get_name($server, false) . '/p');
        self::assertSame('GATEWAY', $e->status);
        self::assertThat((hrtime(true) - $before) / 1e6, self::logicalAnd(self::greaterThan(198), self::lessThan(5000)));
    }

    /** The body has one deadline, however often some of it comes. */
    public function testDrips(): void
    {
        $server = new HttpServer(static function (): \Generator {
            yield "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
            for ($n = 0; $n < 100; $n++) {
                usleep(50000);
                yield 'x';
            }
        });
        $before = hrtime(true);
        self::assertStringContainsString('not whole in time', self::failure(new HttpPost(0.3), "http://127.0.0.1:$server->port/")->reason);
        self::assertThat((hrtime(true) - $before) / 1e6, self::logicalAnd(self::greaterThan(298), self::lessThan(4000)));
    }
}
