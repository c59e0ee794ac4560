<?php

declare(strict_types=1);

namespace AntomAgent\Tests;

use AntomAgent\Tests\Support\Antom;
use AntomAgent\Tests\Support\Certificate;
use AntomAgent\Tests\Support\HttpServer;
use AntomAgent\Tests\Support\ScriptedAgent;
use PHPUnit\Framework\TestCase;

/** The programs as they stand, each in a process of its own. */
final class ExamplesTest extends TestCase
{
    private const EXAMPLES = __DIR__ . '/../examples/';

    private static Antom $antom;

    public static function setUpBeforeClass(): void
    {
        self::$antom = new Antom();
    }

    /** @return array{resource, array<int, resource>} the process; its output and errors */
    private static function start(array $command, array $env): array
    {
        $process = proc_open([PHP_BINARY, '-d', 'display_errors=1', self::EXAMPLES . array_shift($command), ...$command],
            [['file', '/dev/null', 'r'], ['pipe', 'w'], ['pipe', 'w']], $pipes, null, $env + getenv());
        return [$process, $pipes];
    }

    /** @return array{int, string, string} exit status, output, errors */
    private static function ran(array $command, array $env): array
    {
        [$process, $pipes] = self::start($command, $env);
        $said = [stream_get_contents($pipes[1]), stream_get_contents($pipes[2])];
        return [proc_close($process), ...$said];
    }

    public function payments(): array
    {
        return [
            'paid' => ['{"paymentId":"p1","result":{"resultCode":"PAYMENT_IN_PROCESS"}}', true, [0, "paid p1\n", '']],
            'refused' => ['{"result":{"resultCode":"PARAM_ILLEGAL"}}', true, [0, "paid PARAM_ILLEGAL\n", '']],
            'unsigned' => ['{"paymentId":"p1"}', false, [1, '', "UNSIGNED: said so\n"]],
        ];
    }

    /** @dataProvider payments */
    public function testPay(string $answer, bool $isSigned, array $expected): void
    {
        $antom = self::$antom;
        $certificate = new Certificate('IP:127.0.0.1');
        $server = new HttpServer(static function (string $request, array $headers, string $body) use ($antom, $answer, $isSigned): string {
            $uri = explode(' ', $request)[1];
            $isSignedRequest = $headers['signature'] === "algorithm=RSA256,keyVersion=1,signature=agent's" &&
                $uri === '/ams/sandbox/api/v1/payments/pay';
            if (!$isSignedRequest || json_decode($body)->paymentAmount->value !== '77' || json_decode($body)->paymentRequestId === '') {
                throw new \UnexpectedValueException("$request: $body");
            }
            return Antom::response($isSigned ? $antom->headers($uri, $answer) : [], $answer);
        }, $certificate->pem);
        $agent = new ScriptedAgent($antom->agent("https://127.0.0.1:$server->port"));
        $env = ['ANTOM_AGENT_SOCKET' => $agent->path, 'ANTOM_CA_FILE' => $certificate->pem];
        self::assertSame($expected, self::ran(['pay.php', 'shop/sandbox', '77'], $env));

        [$status, $output, $errors] = self::ran(['pay.php', 'shop/sandbox', '77'], ['ANTOM_CA_FILE' => ''] + $env);
        self::assertSame([1, ''], [$status, $output], 'TLS is verified');
        self::assertSame(['', ''], [$agent->wrong(), $server->wrong()]);
    }

    /** The first example of README.md, as it stands there. */
    public function testReadme(): void
    {
        preg_match('~```php\n(use .*?)```~s', file_get_contents(__DIR__ . '/../README.md'), $example);
        $antom = self::$antom;
        $server = new HttpServer(static function (string $request) use ($antom): string {
            return Antom::response($antom->headers(explode(' ', $request)[1], '{"paymentId":"p2"}'), '{"paymentId":"p2"}');
        });
        $agent = new ScriptedAgent($antom->agent("http://127.0.0.1:$server->port"));
        putenv("ANTOM_AGENT_SOCKET=$agent->path");
        try {
            $payment = (static function (string $code, string $id): object {
                eval($code);
                return $payment;
            })($example[1], 'r1');
        } finally {
            putenv('ANTOM_AGENT_SOCKET');
        }
        self::assertSame('p2', $payment->paymentId);
        self::assertSame('{"paymentRequestId":"r1"}', $agent->asked('sign_request')[0][2]['body']);
    }

    public function testPayWithoutGatewayOrAgent(): void
    {
        $agent = new ScriptedAgent(self::$antom->agent());
        self::assertSame([1, '', "shop/sandbox has no gateway yet\n"],
            self::ran(['pay.php', 'shop/sandbox'], ['ANTOM_AGENT_SOCKET' => $agent->path]));
        [$status, $output, $errors] = self::ran(['pay.php', 'shop/sandbox'], ['ANTOM_AGENT_SOCKET' => '/nowhere/agent.sock']);
        self::assertSame([1, ''], [$status, $output]);
        self::assertStringStartsWith('UNREACHABLE: ', $errors);
        self::assertSame(2, self::ran(['pay.php'], [])[0]);
    }

    /** @return array{int, string, string} status, head, body */
    private static function post(int $port, string $target, array $headers, string $body): array
    {
        $stream = stream_socket_client("tcp://127.0.0.1:$port");
        $request = "POST $target HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
        foreach ($headers + ['Content-Length' => strlen($body)] as $name => $value) {
            $request .= "$name: $value\r\n";
        }
        fwrite($stream, "$request\r\n$body");
        [$head, $answer] = explode("\r\n\r\n", stream_get_contents($stream), 2);
        return [(int) substr($head, 9, 3), $head, $answer];
    }

    public function testReceiver(): void
    {
        $agent = new ScriptedAgent(self::$antom->agent());
        [$process, $pipes] = self::start(['receiver.php', 'shop/sandbox', '0'], ['ANTOM_AGENT_SOCKET' => $agent->path]);
        try {
            self::assertMatchesRegularExpression('/^listening on \d+\n$/D', $first = fgets($pipes[1]));
            $port = (int) substr($first, 13);
            $target = '/notify//antom?shop=7&x=%2f+a';
            $body = "{\"a\":\"\xc3\xa9\"}\r\n\0";
            $signed = self::$antom->headers($target, $body, 'Request-Time');

            [$status, $head, $answer] = self::post($port, $target, $signed + ['Content-Type' => 'application/json'], $body);
            self::assertSame([200, '{"result":{"resultCode":"SUCCESS","resultStatus":"S","resultMessage":"success"}}'], [$status, $answer]);
            self::assertMatchesRegularExpression('~^Content-Type: application/json\r?$~mi', $head);
            self::assertSame("notified $target " . strlen($body) . "\n", fgets($pipes[1]));

            self::assertSame(200, self::post($port, $target, $signed + ['Content-Type' => 'application/x-www-form-urlencoded'], $body)[0]);
            self::assertSame("notified $target " . strlen($body) . "\n", fgets($pipes[1]));

            foreach ([[$target, $signed, "$body "], ["$target&y", $signed, $body], [$target, [], $body]] as [$to, $headers, $sent]) {
                [$status, , $answer] = self::post($port, $to, $headers, $sent);
                self::assertSame([400, ''], [$status, $answer]);
            }
            self::assertSame(413, self::post($port, $target, $signed, str_repeat('x', 1048577))[0]);
            self::assertSame(400, self::post($port, $target, $signed, str_repeat('x', 1048576))[0]);

            self::assertSame('', $agent->wrong());
            [$status, , $answer] = self::post($port, $target, $signed, $body);
            self::assertSame([503, ''], [$status, $answer], 'without its agent');
        } finally {
            proc_terminate($process);
            $left = stream_get_contents($pipes[1]);
            proc_close($process);
        }
        self::assertSame('', $left);
    }

    public function testReceiverOfAPortThatIsTaken(): void
    {
        $server = stream_socket_server('tcp://127.0.0.1:0');
        $port = substr(strrchr(stream_socket_get_name($server, false), ':'), 1);
        self::assertSame([1, '', "port $port: Address already in use\n"], self::ran(['receiver.php', 'shop/sandbox', $port], []));
        self::assertSame(2, self::ran(['receiver.php', 'shop/sandbox', 'port'], [])[0]);
    }
}
