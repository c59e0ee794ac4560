<?php

declare(strict_types=1);

namespace AntomAgent\Tests;

use AntomAgent\AntomException;
use AntomAgent\Client;
use AntomAgent\SdkTransport;
use AntomAgent\Tests\Support\Antom;
use AntomAgent\Tests\Support\HttpServer;
use AntomAgent\Tests\Support\ScriptedAgent;
use PHPUnit\Framework\TestCase;

require_once __DIR__ . '/Support/sdk.php';

/** Against a stand-in of the SDK's seam, an agent by script that verifies in earnest, and a server that signs as Antom does. */
final class SdkTransportTest extends TestCase
{
    private const PATH = '/ams/api/v1/payments/';

    private static Antom $antom;
    private ScriptedAgent $agent;
    private HttpServer $server;

    public static function setUpBeforeClass(): void
    {
        self::$antom = new Antom();
        preg_match('~```php\n(class AgentAlipayClient .*?)```~s', file_get_contents(__DIR__ . '/../README.md'), $subclass);
        eval($subclass[1]); // the README's own text is what is tested
    }

    protected function setUp(): void
    {
        $antom = self::$antom;
        $this->agent = new ScriptedAgent($antom->agent());
        $this->server = new HttpServer(static fn (string $request, array $headers, string $body): string =>
            self::answer($antom, $request, $headers, $body));
    }

    protected function tearDown(): void
    {
        self::assertSame(['', ''], [$this->agent->wrong(), $this->server->wrong()]);
    }

    /** The last part of the path says what kind of an answer it is. */
    private static function answer(Antom $antom, string $request, array $headers, string $body): string
    {
        $uri = explode(' ', $request)[1];
        $kind = basename(explode('?', $uri)[0]);
        $text = json_encode(['result' => ['resultStatus' => 'S', 'resultCode' => 'SUCCESS'],
            'got' => ['request' => $request, 'headers' => $headers, 'body' => $body]]);
        $signed = $antom->headers($uri, $text);
        return match ($kind) {
            'pay' => Antom::response($signed + ['X-Latin' => "caf\xe9"], $text),
            'raw' => Antom::response(['Signature' => 'keyVersion=1, Signature=' . rawurldecode(explode('=', $signed['signature'])[3])] +
                array_diff_key($signed, ['signature' => 0]), $text),
            'unsigned' => Antom::response([], $text),
            'noSignature' => Antom::response(array_diff_key($signed, ['signature' => 0]), $text),
            'noTime' => Antom::response(array_diff_key($signed, ['response-time' => 0]), $text),
            'emptyTime' => Antom::response(['response-time' => ''] + $signed, $text),
            'altered' => Antom::response($signed, str_replace('SUCCESS', 'SUCCES', $text)),
            'short' => str_replace('Content-Length: ', 'Content-Length: 1', Antom::response($signed, substr($text, 0, -1))),
            'refused' => Antom::response([], '{"result":{"resultCode":"KEY_NOT_FOUND","resultStatus":"F"}}', '400 Bad Request'),
            'moved' => Antom::response(['Location' => str_replace('moved', 'pay', $uri)], '', '302 Found'),
        };
    }

    private function url(): string
    {
        return "http://127.0.0.1:{$this->server->port}";
    }

    private function transport(mixed ...$more): SdkTransport
    {
        return new SdkTransport(new Client($this->agent->path), 'shop/sandbox', ...$more);
    }

    private function sdk(SdkTransport $transport, string ...$token): \AgentAlipayClient
    {
        $key = SdkTransport::throwawayKey();
        $sdk = new \AgentAlipayClient($this->url(), $key, self::$antom->publicKey(), Antom::CLIENT_ID, ...$token);
        $sdk->transport = $transport;
        return $sdk;
    }

    public function testThroughTheSdk(): void
    {
        $body = '{"amount":"1\/2","name":"é"}';
        $answer = $this->sdk($this->transport())->execute(self::PATH . 'pay', $body);
        self::assertSame('SUCCESS', $answer->result->resultCode);
        self::assertSame('POST /ams/sandbox/api/v1/payments/pay HTTP/1.1', $answer->got->request);
        self::assertSame($body, $answer->got->body);
        $headers = (array) $answer->got->headers;
        self::assertSame(["127.0.0.1:{$this->server->port}", 'stand-in/1', Antom::CLIENT_ID, '1700000000000',
            'application/json; charset=UTF-8', "algorithm=RSA256,keyVersion=1,signature=agent's"], [$headers['host'],
            $headers['user-agent'], $headers['client-id'], $headers['request-time'], $headers['content-type'], $headers['signature']]);
        self::assertArrayNotHasKey('agent-token', $headers);
        $verified = $this->agent->asked('verify_response')[0][2];
        self::assertSame(['POST', '/ams/sandbox/api/v1/payments/pay', ['client-id', 'response-time', 'signature']],
            [$verified['method'], $verified['uri'], array_keys($verified['headers'])]);
    }

    public function testAMerchant(): void
    {
        foreach ([[], ['of the SDK']] as $token) {
            $answer = $this->sdk($this->transport(merchant: 'm1'), ...$token)->execute(self::PATH . 'pay?a=b', '{}');
            self::assertSame('token of m1', ((array) $answer->got->headers)['agent-token']);
            self::assertSame('POST /ams/sandbox/api/v1/payments/pay?a=b HTTP/1.1', $answer->got->request);
        }
        try {
            $this->sdk($this->transport(), 'of the SDK')->execute(self::PATH . 'pay', '{}');
            self::fail('it was sent for somebody else');
        } catch (AntomException $e) {
            self::assertSame(['BAD_PARAM', 'headers'], [$e->status, $e->field]);
        }
    }

    public function testWhatTheSdkWouldLetThrough(): void
    {
        $plain = new \Client\DefaultAlipayClient($this->url(), SdkTransport::throwawayKey(), self::$antom->publicKey(), Antom::CLIENT_ID);
        self::assertSame('SUCCESS', $plain->execute(self::PATH . 'unsigned', '{}')->result->resultCode, 'the stand-in has the hole');
        $this->expectException(AntomException::class);
        $this->expectExceptionCode(400);
        $this->sdk($this->transport())->execute(self::PATH . 'unsigned', '{}');
    }

    public function unproven(): array
    {
        return [
            'unsigned' => ['unsigned', 400, 'UNSIGNED', 'HTTP 200, result code SUCCESS'],
            'no signature' => ['noSignature', 401, 'HALF_SIGNED', 'HTTP 200, result code SUCCESS'],
            'no time' => ['noTime', 401, 'HALF_SIGNED', 'HTTP 200, result code SUCCESS'],
            'an empty time' => ['emptyTime', 401, 'HALF_SIGNED', 'HTTP 200, result code SUCCESS'],
            'another body' => ['altered', 405, 'SIGNATURE_INVALID', 'HTTP 200, result code SUCCES'],
            'cut off' => ['short', 405, 'SIGNATURE_INVALID', 'HTTP 200'],
            "the gateway's own failure" => ['refused', 400, 'UNSIGNED', 'HTTP 400, result code KEY_NOT_FOUND'],
            'a redirect, which is not followed' => ['moved', 400, 'UNSIGNED', 'HTTP 302'],
        ];
    }

    /** @dataProvider unproven */
    public function testUnproven(string $kind, int $code, string $status, string $diagnosis): void
    {
        try {
            $this->transport()->send($this->url() . self::PATH . $kind, 'POST', [], '{}');
            self::fail('it came through');
        } catch (AntomException $e) {
            self::assertSame([$code, $status, 'verify', "said so (unproven response: $diagnosis)"],
                [$e->getCode(), $e->status, $e->errorClass, $e->reason]);
        }
    }

    /** The value is what stands behind "signature=", encoded or not. */
    public function testAnswers(): void
    {
        foreach (['pay' => '~^[A-Za-z0-9]+(%2B|%2F|%3D|[A-Za-z0-9])+$~D', 'raw' => '~^[A-Za-z0-9+/]+==$~D'] as $kind => $form) {
            $answer = $this->transport()->send($this->url() . self::PATH . $kind, 'POST', [], '{}');
            self::assertSame(Antom::TIME, $answer->time);
            self::assertMatchesRegularExpression($form, $answer->signature);
            self::assertStringContainsString('SUCCESS', $answer->body);
        }
    }

    public function testLinesAreReplacedAndKept(): void
    {
        $seen = null;
        $http = static function (string $url, string $method, array $lines, string $body) use (&$seen): array {
            $seen = [$url, $method, $lines, $body];
            return [200, ['Client-Id' => Antom::CLIENT_ID] +
                self::$antom->headers('/ams/sandbox/api/x', 'answer'), 'answer'];
        };
        $lines = ['CLIENT-ID:theirs', 'request-time : theirs', 'sIgNaTuRe:theirs', 'content-type:text/plain', 'Agent-TOKEN:theirs',
            'X-Trace:1:2', 'Signature-Input: kept'];
        try {
            $this->transport($http, 'm1')->send('https://gate.example:8443/ams/api/x', 'POST', $lines, "\0\xff");
            self::fail('two client ids came through');
        } catch (AntomException $e) {
            self::assertSame(['BAD_PARAM', 'headers'], [$e->status, $e->field]);
        }
        self::assertSame(['https://gate.example:8443/ams/sandbox/api/x', 'POST', "\0\xff"], [$seen[0], $seen[1], $seen[3]]);
        self::assertSame(['X-Trace:1:2', 'Signature-Input: kept', 'Client-Id: ' . Antom::CLIENT_ID, 'Request-Time: 1700000000000',
            "Signature: algorithm=RSA256,keyVersion=1,signature=agent's", 'Content-Type: application/json; charset=UTF-8',
            'Agent-Token: token of m1'], $seen[2]);
    }

    public function wrong(): array
    {
        return [
            ['https://gate.example/p', ["X:a\r\nSignature:b"], 'headers'], ['https://gate.example/p', ['no colon'], 'headers'],
            ['https://gate.example', [], 'url'], ['ftp://gate.example/p', [], 'url'], ['https://a@gate.example/p', [], 'url'],
            ['https://gate.example/p#x', [], 'url'], ["https://gate.example/p\n", [], 'url'], ['/p', [], 'url'],
            ['http://gate.example/p', [], 'url'],
        ];
    }

    /** @dataProvider wrong */
    public function testWhatIsNotSent(string $url, array $lines, string $field): void
    {
        try {
            $this->transport()->send($url, 'POST', $lines, '{}');
            self::fail('it was sent');
        } catch (AntomException $e) {
            self::assertSame(['BAD_PARAM', $field], [$e->status, $e->field]);
        }
    }

    public function testTheThrowawayKey(): void
    {
        $key = SdkTransport::throwawayKey();
        self::assertSame($key, SdkTransport::throwawayKey());
        self::assertMatchesRegularExpression('~^MII[A-Za-z0-9+/]+={0,2}$~D', $key);
        $details = openssl_pkey_get_details(openssl_pkey_get_private("-----BEGIN PRIVATE KEY-----\n" . wordwrap($key, 64, "\n", true) .
            "\n-----END PRIVATE KEY-----"));
        self::assertSame([OPENSSL_KEYTYPE_RSA, 2048], [$details['type'], $details['bits']]);
    }
}
