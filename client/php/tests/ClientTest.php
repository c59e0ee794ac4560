<?php

declare(strict_types=1);

namespace AntomAgent\Tests;

use AntomAgent\AntomException;
use AntomAgent\Client;
use AntomAgent\Headers;
use AntomAgent\Signed;
use AntomAgent\Tests\Support\Forked;
use AntomAgent\Tests\Support\Gone;
use AntomAgent\Tests\Support\Peer;
use AntomAgent\Tests\Support\ScriptedAgent;
use PHPUnit\Framework\TestCase;

final class ClientTest extends TestCase
{
    private static function signs(): \Closure
    {
        return static function (Peer $peer): void {
            foreach ($peer->requests() as $r) {
                $peer->signed($r);
            }
        };
    }

    private static function sign(Client $client, string $body = 'x', ?float $timeout = null): Signed
    {
        return $client->signRequest('shop/sandbox', 'POST', '/ams/api/v1/payments/pay', $body, timeout: $timeout);
    }

    private static function failure(\Closure $call): AntomException
    {
        try {
            $call();
        } catch (AntomException $e) {
            return $e;
        }
        self::fail('it did not fail');
    }

    public function testResults(): void
    {
        $agent = new ScriptedAgent(static function (Peer $peer): void {
            foreach ($peer->requests() as $r) {
                match ($r->method) {
                    'sign_request' => $peer->signed($r, ['url' => 'https://g/sent']),
                    'explain' => $peer->answer($r->id, ['kind' => $r->params['kind'], 'verdict' => 'OK']),
                    'health' => $peer->answer($r->id, ['state' => 'locked']),
                    'later' => $peer->answer($r->id, [1, 'a', ['b' => null]]),
                    default => $peer->answer($r->id, ['version' => 2, 'time' => 't', 'age_ms' => -3]),
                };
            }
        });
        $client = new Client($agent->path, name: 'mine 1');
        $signed = $client->signRequest('a/live', 'POST', '/p', "\xff", time: '12', merchant: 'm', trace: 't', timeout: 3.0);
        self::assertSame([md5("\xff"), '/sent', 'https://g/sent', 1, 7, 'soft:1'], [$signed->headers['Signature'], $signed->uri,
            $signed->url, $signed->version, $signed->keyVersion, $signed->record]);
        self::assertSame('Client-Id: 5Y', $signed->headerLines()[0]);
        $response = $client->verifyResponse('a/live', 'POST', '/p', ['signature' => 'x', '7' => ['a', 'b']], 'body', maxAgeMs: 0);
        self::assertSame([2, 't', -3], [$response->version, $response->time, $response->ageMs]);
        self::assertSame(2, $client->verifyNotification('a/live', 'POST', '/n?a=b', [], 'body', trace: 't')->version);
        self::assertSame('OK', $client->explain('response', 'a/live', 'POST', '/p', 'b', ['Date' => 'x'], maxAgeMs: 7)['verdict']);
        self::assertSame('locked', $client->health()['state']);
        self::assertSame([1, 'a', ['b' => null]], $client->call('later', ['n' => 1]));

        $asked = $agent->asked();
        self::assertSame(['hello', ['versions' => [1], 'client' => 'mine 1']], [$asked[0][1], $asked[0][2]]);
        $deadlines = array_map(static fn (array $one): int => $one[2]['deadline_ms'], array_slice($asked, 1));
        self::assertLessThanOrEqual(3000, $deadlines[0]);
        self::assertGreaterThan(3000, min(array_slice($deadlines, 1)));
        $params = array_map(static fn (array $one): array => array_diff_key($one[2], ['deadline_ms' => 0]), array_slice($asked, 1));
        self::assertSame(['profile' => 'a/live', 'method' => 'POST', 'uri' => '/p', 'body' => "\xff", 'time' => '12', 'merchant' => 'm',
            'trace' => 't'], $params[0]);
        self::assertSame(['profile' => 'a/live', 'method' => 'POST', 'uri' => '/p', 'headers' => ['signature' => 'x', '7' => ['a', 'b']],
            'body' => 'body', 'max_age_ms' => 0], $params[1]);
        self::assertSame(['kind' => 'response', 'profile' => 'a/live', 'method' => 'POST', 'uri' => '/p', 'body' => 'b',
            'headers' => ['Date' => 'x'], 'max_age_ms' => 7], $params[3]);
        self::assertSame([], $params[4]);
        self::assertSame(1, $agent->connections());
        self::assertSame('', $agent->wrong());
    }

    public function testErrors(): void
    {
        $agent = new ScriptedAgent(static function (Peer $peer): void {
            foreach ($peer->requests() as $r) {
                $peer->refuse($r->id, 104, 'BAD_PARAM', 'caller', ['field' => 'uri', 'retry_after_ms' => true]);
            }
        });
        $client = new Client($agent->path);
        $e = self::failure(static fn () => self::sign($client));
        self::assertSame([104, 'BAD_PARAM', 'caller', 'said so', 'uri', null, 'BAD_PARAM: said so', false], [$e->getCode(), $e->status,
            $e->errorClass, $e->reason, $e->field, $e->retryAfterMs, $e->getMessage(), $e->isWorthRepeating()]);
        self::assertCount(1, $agent->asked('sign_request'));
    }

    public function testRepeatsOnceAfterTheTimeItIsTold(): void
    {
        $agent = new ScriptedAgent(static function (Peer $peer): void {
            $peer->refuse($peer->next()->id, 500, 'BUSY', 'retry', ['retry_after_ms' => 200]);
            $peer->signed($peer->next());
        });
        $client = new Client($agent->path);
        $before = hrtime(true);
        self::assertSame(md5('x'), self::sign($client)->headers['Signature']);
        self::assertGreaterThanOrEqual(200e6, hrtime(true) - $before);
        self::assertSame([1, 2], [$agent->connections(), count($agent->asked('sign_request'))]);
    }

    /** A stopping agent's answer is repeated at its successor. */
    public function testAnAnswerOfDraining(): void
    {
        $agent = new ScriptedAgent(static function (Peer $peer): void {
            foreach ($peer->requests() as $r) {
                $peer->number === 0 ? $peer->refuse($r->id, 504, 'DRAINING', 'retry') : $peer->signed($r);
            }
        });
        self::assertSame(md5('x'), self::sign(new Client($agent->path))->headers['Signature']);
        self::assertSame(2, $agent->connections());
    }

    /** What came while the connection was idle is known before a request is sent on it, and costs no repetition. */
    public function testWordThatAConnectionEnds(): void
    {
        $agent = new ScriptedAgent(static function (Peer $peer): void {
            $first = $peer->next();
            if ($peer->number === 2) {
                return;
            }
            $peer->hold();
            $peer->signed($first);
            if ($peer->number === 0) {
                $peer->event('draining', ['x' => 1]);
            }
            $peer->release();
            $peer->next();
        });
        $client = new Client($agent->path);
        self::sign($client, '1');
        self::sign($client, '2');
        self::assertSame(501, self::failure(static fn () => self::sign($client, 'lost'))->getCode());
        self::assertSame([[0, '1'], [1, '2'], [1, 'lost'], [2, 'lost']], array_map(
            static fn (array $one): array => [$one[0], $one[2]['body']], $agent->asked('sign_request')));
    }

    /** It costs no repetition either: there is one left for the connection that comes after it. */
    public function testAConnectionThatEndedWhileItWasIdle(): void
    {
        $gone = tempnam(sys_get_temp_dir(), 'antag-gone-');
        $agent = new ScriptedAgent(static function (Peer $peer) use ($gone): void {
            $request = $peer->next();
            if ($peer->number !== 1) {
                $peer->signed($request);
            }
            $peer->close();
            file_put_contents($gone, 'gone');
        });
        $client = new Client($agent->path);
        self::sign($client, '1');
        self::waitFor(static fn (): bool => file_get_contents($gone) === 'gone');
        self::sign($client, '2');
        self::assertSame([[0, '1'], [1, '2'], [2, '2']], array_map(static fn (array $one): array => [$one[0], $one[2]['body']],
            $agent->asked('sign_request')));
        unlink($gone);
    }

    private static function waitFor(\Closure $isSo): void
    {
        for ($n = 0; !$isSo(); $n++) {
            self::assertLessThan(5000, $n, 'it did not happen in time');
            usleep(2000);
        }
    }

    public function steps(): array
    {
        return [[1], [7], [100000]];
    }

    /** @dataProvider steps */
    public function testPartsOfFrames(int $step): void
    {
        $agent = new ScriptedAgent(static function (Peer $peer) use ($step): void {
            foreach ($peer->requests() as $r) {
                $answer = Peer::frame(msgpack_pack([1, $r->id, null, ['state' => str_repeat('s', 3000)]]));
                foreach (str_split(Peer::frame("\x93\x02\xa1e\x80") . $answer, $step) as $part) {
                    $peer->send($part);
                }
            }
        });
        $client = new Client($agent->path);
        for ($n = 0; $n < 5; $n++) {
            self::assertSame(str_repeat('s', 3000), $client->health()['state']);
        }
        self::assertSame(1, $agent->connections());
    }

    /** A body of 1 MiB is more than a socket takes at once; the reader begins late, and answers with as much. */
    public function testShortWritesAndReads(): void
    {
        $agent = new ScriptedAgent(static function (Peer $peer): void {
            foreach ($peer->requests() as $r) {
                $peer->answer($r->id, ['state' => strrev($r->params['body'])]);
                usleep(100000); // meanwhile the other side writes its next request
            }
        });
        $client = new Client($agent->path);
        foreach (['abcdefgh', str_repeat('abcdefgh', 131072), 'ab'] as $body) {
            self::assertSame(['state' => strrev($body)], $client->call('echo', ['body' => $body]));
        }
        self::assertSame(1, $agent->connections());
        self::assertSame('', $agent->wrong());
    }

    public function testKeepsToTheFrameThatHelloTells(): void
    {
        $agent = new ScriptedAgent(static function (Peer $peer): void {
            foreach ($peer->requests() as $r) {
                $peer->answer($r->id, ['state' => str_repeat('s', $r->params['n'])]);
            }
        }, ['frame' => 1000]);
        $client = new Client($agent->path);
        self::assertSame(900, strlen($client->call('n', ['n' => 900])['state']));
        $tooLarge = self::failure(static fn () => self::sign($client, str_repeat('x', 1000)));
        self::assertSame(['BAD_PARAM', 'body'], [$tooLarge->status, $tooLarge->field]);
        self::assertSame(1, $agent->connections(), 'what was not sent costs no connection');
        self::assertSame('BAD_FRAME', self::failure(static fn () => $client->call('n', ['n' => 1000]))->status);
        self::assertSame(['state' => 'sssss'], $client->call('n', ['n' => 5]));
        self::assertSame(2, $agent->connections());
    }

    public function testALateAnswerMeetsNobody(): void
    {
        $agent = new ScriptedAgent(static function (Peer $peer): void {
            foreach ($peer->requests() as $r) {
                if ($r->params['body'] === 'slow') {
                    usleep(2000000);
                }
                $peer->signed($r);
            }
        });
        $client = new Client($agent->path);
        $before = hrtime(true);
        $slow = self::failure(static fn () => self::sign($client, 'slow', 0.1));
        self::assertSame([506, 'TIMEOUT', 'retry'], [$slow->getCode(), $slow->status, $slow->errorClass]);
        self::assertThat((hrtime(true) - $before) / 1e6, self::logicalAnd(self::greaterThan(98), self::lessThan(2000)));
        foreach (['a', 'b'] as $body) {
            self::assertSame(md5($body), self::sign($client, $body)->headers['Signature']);
        }
    }

    public function timeouts(): array
    {
        return [[0.0, 'TIMEOUT'], [-1.0, 'TIMEOUT'], [NAN, 'BAD_PARAM']];
    }

    /** @dataProvider timeouts */
    public function testNoTimeAtAll(float $timeout, string $status): void
    {
        $agent = new ScriptedAgent(self::signs());
        $client = new Client($agent->path);
        self::sign($client);
        self::assertSame($status, self::failure(static fn () => self::sign($client, 'x', $timeout))->status);
        self::assertCount(1, $agent->asked('sign_request'));
    }

    public function testADeadlineIsAtMostADay(): void
    {
        $agent = new ScriptedAgent(self::signs());
        self::sign(new Client($agent->path, timeout: INF));
        self::assertEqualsWithDelta(86400000, $agent->asked('sign_request')[0][2]['deadline_ms'], 10000);
        self::assertLessThanOrEqual(86400000, $agent->asked('sign_request')[0][2]['deadline_ms']);
    }

    /** Signals end no call, and do not put its deadline off. */
    public function testSignals(): void
    {
        $agent = new ScriptedAgent(static function (Peer $peer): void {
            foreach ($peer->requests() as $r) {
                if ($r->params['body'] !== 'never') {
                    usleep(200000);
                    $peer->signed($r);
                }
            }
        });
        $client = new Client($agent->path);
        self::sign($client);
        $count = 0;
        pcntl_async_signals(true);
        pcntl_signal(SIGUSR1, static function () use (&$count): void {
            $count++;
        });
        $me = getmypid();
        $sender = new Forked(static function () use ($me): void {
            while (true) {
                posix_kill($me, SIGUSR1);
                usleep(20000);
            }
        });
        try {
            self::assertSame(md5('x'), self::sign($client)->headers['Signature']);
            self::assertSame('TIMEOUT', self::failure(static fn () => self::sign($client, 'never', 0.3))->status);
        } finally {
            $sender->stop();
            pcntl_signal(SIGUSR1, SIG_DFL);
            pcntl_async_signals(false);
        }
        self::assertGreaterThan(5, $count);
    }

    /** What a signal handler throws leaves half an answer behind, on a connection that is not used again. */
    public function testAnExceptionInMidCall(): void
    {
        $agent = new ScriptedAgent(static function (Peer $peer): void {
            foreach ($peer->requests() as $r) {
                if ($r->params['body'] === 'slow') {
                    posix_kill((int) $r->params['uri'], SIGUSR1);
                    usleep(200000);
                }
                $peer->signed($r);
            }
        });
        $client = new Client($agent->path);
        self::sign($client, 'before');
        pcntl_async_signals(true);
        pcntl_signal(SIGUSR1, static fn () => throw new \DomainException('stop'));
        try {
            $client->signRequest('a/live', 'POST', (string) getmypid(), 'slow');
            self::fail('the exception was lost');
        } catch (\DomainException) {
            self::assertSame(md5('after'), self::sign($client, 'after')->headers['Signature']);
        } finally {
            pcntl_signal(SIGUSR1, SIG_DFL);
            pcntl_async_signals(false);
        }
        self::assertSame(2, $agent->connections());
    }

    public function testAChildConnectsAnewAndLeavesTheParentsConnection(): void
    {
        $agent = new ScriptedAgent(self::signs());
        $client = new Client($agent->path);
        self::sign($client, 'parent');
        $said = tempnam(sys_get_temp_dir(), 'antag-child-');
        $child = new Forked(static function () use ($client, $said): void {
            $own = self::sign($client, 'child')->headers['Signature'] === md5('child');
            $client->close();
            file_put_contents($said, $own ? 'right' : 'wrong');
        });
        self::waitFor(static fn (): bool => file_get_contents($said) !== '');
        self::assertSame('right', file_get_contents($said));
        self::assertSame('', $child->stop());
        self::assertSame(md5('parent 2'), self::sign($client, 'parent 2')->headers['Signature']);
        self::assertSame([[0, 'parent'], [1, 'child'], [0, 'parent 2']], array_map(
            static fn (array $one): array => [$one[0], $one[2]['body']], $agent->asked('sign_request')));
        unlink($said);
    }

    public function testAWatchStaysWithItsProcess(): void
    {
        $agent = new ScriptedAgent(static function (Peer $peer): void {
            $peer->answer($peer->next()->id, ['epoch' => 3]);
            $peer->next();
        });
        $events = (new Client($agent->path))->watch();
        self::assertSame(3, $events->current()->params['epoch']);
        $said = tempnam(sys_get_temp_dir(), 'antag-child-');
        $child = new Forked(static function () use ($events, $said): void {
            file_put_contents($said, self::failure(static fn () => $events->next())->status);
        });
        self::waitFor(static fn (): bool => file_get_contents($said) !== '');
        self::assertSame('RETRY', file_get_contents($said));
        self::assertSame('', $child->stop());
        unlink($said);
    }

    public function testACloneHasAConnectionOfItsOwn(): void
    {
        $agent = new ScriptedAgent(self::signs());
        $client = new Client($agent->path);
        self::sign($client);
        self::sign(clone $client);
        self::sign($client);
        self::assertSame([0, 1, 0], array_column($agent->asked('sign_request'), 0));
        $client->close();
        self::sign($client);
        self::assertSame(3, $agent->connections());
    }

    public function testWatch(): void
    {
        $agent = new ScriptedAgent(static function (Peer $peer): void {
            $r = $peer->next();
            $peer->event('new', ['a' => 1]);
            $peer->answer($r->id, ['epoch' => 3, 'state' => 'ready']);
            $peer->event('epoch', ['epoch' => true]);
            $peer->event('profile', ['profile' => 'a/live', 'sign' => 'ready', 'version' => 1, 'key_version' => '7']);
            $peer->event('profile', ['profile' => 'a/live', 'sign' => 'ready', 'version' => 1, 'key_version' => 7]);
            $peer->event('state', [1]);
            $peer->event('state', ['state' => 'locked']);
        });
        $told = [];
        try {
            foreach ((new Client($agent->path))->watch() as $event) {
                $told[] = [$event->name, $event->params];
            }
        } catch (AntomException $e) {
            self::assertSame([501, 'RETRY'], [$e->getCode(), $e->status]);
        }
        $profile = ['profile' => 'a/live', 'sign' => 'ready', 'version' => 1, 'key_version' => 7];
        self::assertSame([['epoch', ['epoch' => 3]], ['profile', $profile], ['state', ['state' => 'locked']]], $told);
        self::assertTrue(isset($e), 'its end is an error');
    }

    /** The queue of the listening socket is full: that is no reason to give up before the deadline. */
    public function testAFullQueue(): void
    {
        $path = sys_get_temp_dir() . '/antag-' . bin2hex(random_bytes(6)) . '.sock';
        $server = stream_socket_server("unix://$path", $errno, $why, STREAM_SERVER_BIND | STREAM_SERVER_LISTEN,
            stream_context_create(['socket' => ['backlog' => 0]]));
        $first = stream_socket_client("unix://$path");
        self::assertFalse(@stream_socket_client("unix://$path"), 'it is not full');
        try {
            self::assertSame('TIMEOUT', self::failure(static fn () => self::sign(new Client($path), 'x', 0.1))->status);
            $agent = new Forked(static function () use ($server): void {
                usleep(100000);
                stream_socket_accept($server);
                $peer = new Peer(stream_socket_accept($server), 0, [], '/dev/null');
                $peer->signed($peer->next());
                throw new Gone(); // and no more is expected of it
            });
            self::assertSame(md5('x'), self::sign(new Client($path))->headers['Signature']);
            self::assertSame('', $agent->stop());
        } finally {
            unlink($path);
        }
        fclose($first);
    }

    public function testNobodyThere(): void
    {
        $gone = self::failure(static fn () => self::sign(new Client('/nowhere/agent.sock')));
        self::assertSame([505, 'UNREACHABLE', 'retry', '/nowhere/agent.sock: No such file or directory'],
            [$gone->getCode(), $gone->status, $gone->errorClass, $gone->reason]);
    }

    public function testPaths(): void
    {
        foreach (['/' . str_repeat('x', 107), "/tmp/a\0b"] as $path) {
            $e = self::failure(static fn () => new Client($path));
            self::assertSame(['BAD_PARAM', 'path'], [$e->status, $e->field]);
        }
        self::assertInstanceOf(Client::class, new Client('/' . str_repeat('x', 106)));
        $agent = new ScriptedAgent(self::signs());
        putenv("ANTOM_AGENT_SOCKET=$agent->path");
        try {
            self::assertSame(md5('x'), self::sign(new Client())->headers['Signature']);
        } finally {
            putenv('ANTOM_AGENT_SOCKET');
        }
    }

    public function testHeaders(): void
    {
        $lines = ['HTTP/1.1 100 Continue', 'X: before', 'HTTP/1.1 200 OK', 'A: 1', 'a:2 ', 'B: c:d', 'no header', 'A:3'];
        $headers = Headers::fromLines($lines);
        self::assertSame(['A' => ['1', '3'], 'a' => ['2'], 'B' => ['c:d']], $headers);
        self::assertSame(['1', '3', '2'], Headers::of($headers, 'a'));
        self::assertSame(['x'], Headers::of(['Signature' => 'x', 'y' => null], 'signature'));
        $client = new Client('/nowhere/agent.sock');
        $e = self::failure(static fn () => $client->verifyResponse('a/live', 'POST', '/p', ['Signature: x'], 'b'));
        self::assertSame(['BAD_PARAM', 'headers'], [$e->status, $e->field], 'lines are no map of names');
    }

    /** Bodies are bytes, which are strings in PHP; anything else is a TypeError where strict types are on. */
    public function testBodiesAreStrings(): void
    {
        $this->expectException(\TypeError::class);
        (new Client('/nowhere/agent.sock'))->signRequest('a/live', 'POST', '/p', ['a' => 1]);
    }

    /** No warning of PHP is anybody's business here, even where the application turns them into exceptions. */
    public function testNoWarnings(): void
    {
        set_error_handler(static function (int $level, string $message): bool {
            return (error_reporting() & $level) !== 0 ? throw new \ErrorException($message) : true;
        });
        try {
            $agent = new ScriptedAgent(static fn (Peer $peer) => $peer->close());
            self::assertSame('RETRY', self::failure(static fn () => self::sign(new Client($agent->path)))->status);
            self::assertSame('UNREACHABLE', self::failure(static fn () => self::sign(new Client('/nowhere/a.sock')))->status);
        } finally {
            restore_error_handler();
        }
    }
}
