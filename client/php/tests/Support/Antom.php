<?php

declare(strict_types=1);

namespace AntomAgent\Tests\Support;

/** Antom's side of the signing scheme, and an agent that holds the public half. */
final class Antom
{
    public const CLIENT_ID = 'SANDBOX_5X00000000000001';
    public const TIME = '2026-11-28T09:00:00+08:00';

    private readonly \OpenSSLAsymmetricKey $key;

    public function __construct()
    {
        $this->key = openssl_pkey_new(['private_key_type' => OPENSSL_KEYTYPE_RSA, 'private_key_bits' => 2048]);
    }

    /** Bare base64, as the dashboard shows it. */
    public function publicKey(): string
    {
        return preg_replace('/-----[^-]+-----|\s/', '', openssl_pkey_get_details($this->key)['key']);
    }

    /** @return array<string, string> headers of a signed response */
    public function headers(string $uri, string $body, string $timeName = 'response-time'): array
    {
        openssl_sign("POST $uri\n" . self::CLIENT_ID . '.' . self::TIME . ".$body", $raw, $this->key, OPENSSL_ALGO_SHA256);
        return ['client-id' => self::CLIENT_ID, $timeName => self::TIME,
            'signature' => 'algorithm=RSA256,keyVersion=1,signature=' . rawurlencode(base64_encode($raw))];
    }

    /** @param array<string, string> $headers */
    public static function response(array $headers, string $body, string $status = '200 OK'): string
    {
        $lines = array_map(static fn (string $name): string => "$name: $headers[$name]\r\n", array_keys($headers));
        return "HTTP/1.1 $status\r\n" . implode('', $lines) . 'Content-Length: ' . strlen($body) . "\r\nConnection: close\r\n\r\n$body";
    }

    /** A script for ScriptedAgent: it signs with the text "agent's", and verifies in earnest. */
    public function agent(?string $url = null): \Closure
    {
        return function (Peer $peer) use ($url): void {
            foreach ($peer->requests() as $r) {
                if ($r->method === 'sign_request') {
                    $uri = str_replace('/ams/api', '/ams/sandbox/api', $r->params['uri']);
                    $token = isset($r->params['merchant']) ? ['Agent-Token' => 'token of ' . $r->params['merchant']] : [];
                    $peer->signed($r, ['uri' => $uri, 'url' => $url === null ? null : $url . $uri, 'headers' => [
                        'Client-Id' => self::CLIENT_ID, 'Request-Time' => '1700000000000',
                        'Signature' => "algorithm=RSA256,keyVersion=1,signature=agent's",
                        'Content-Type' => 'application/json; charset=UTF-8',
                    ] + $token]);
                } else {
                    $this->judge($peer, $r, $r->method === 'verify_response' ? 'response-time' : 'request-time');
                }
            }
        };
    }

    private function judge(Peer $peer, object $r, string $timeName): void
    {
        $given = [];
        $isTwice = false;
        foreach ($r->params['headers'] as $name => $values) {
            $given[strtolower((string) $name)] = ((array) $values)[0] ?? '';
            $isTwice = $isTwice || count((array) $values) > 1;
        }
        [$id, $time, $signature] = [$given['client-id'] ?? '', $given[$timeName] ?? '', $given['signature'] ?? ''];
        $text = "{$r->params['method']} {$r->params['uri']}\n$id.$time.{$r->params['body']}";
        $raw = base64_decode(rawurldecode(preg_replace('/^.*signature=/i', '', $signature)));
        match (true) {
            $isTwice => $peer->refuse($r->id, 104, 'BAD_PARAM', 'caller', ['field' => 'headers']),
            $time === '' && $signature === '' => $peer->refuse($r->id, 400, 'UNSIGNED', 'verify'),
            $id === '' || $time === '' || $signature === '' => $peer->refuse($r->id, 401, 'HALF_SIGNED', 'verify'),
            openssl_verify($text, $raw, openssl_pkey_get_details($this->key)['key'], OPENSSL_ALGO_SHA256) !== 1
                => $peer->refuse($r->id, 405, 'SIGNATURE_INVALID', 'verify'),
            default => $peer->answer($r->id, ['version' => 2, 'time' => $time, 'age_ms' => 5]),
        };
    }
}
