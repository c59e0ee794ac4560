<?php

declare(strict_types=1);

namespace AntomAgent;

/**
 * What stands in for sendRequest() of Antom's official PHP SDK: the agent signs, TLS is verified, and a response that the agent
 * has not proven never reaches the SDK. README.md has the subclass of the SDK's client that calls it.
 */
final class SdkTransport
{
    private const OF_THE_AGENT = ['client-id', 'request-time', 'signature', 'content-type', 'agent-token'];
    private const OF_THE_PROOF = ['client-id', 'response-time', 'signature'];

    private static ?string $throwawayKey = null;

    /** @var \Closure(string, string, list<string>, string): array{int, array<string, string|list<string>>, string} */
    private readonly \Closure $http;

    /**
     * @param string $profile APP/sandbox or APP/live
     * @param ?callable $http sends: takes URL, method, list of "Name: value", body; returns [status, headers as Client's
     *     verifyResponse takes them, raw body]; null: new HttpPost()
     * @param ?string $merchant for ISVs: the merchant whose authorization token the agent adds
     */
    public function __construct(
        private readonly Client $agent,
        private readonly string $profile,
        ?callable $http = null,
        private readonly ?string $merchant = null,
    ) {
        $this->http = \Closure::fromCallable($http ?? new HttpPost());
    }

    /**
     * A private key for the SDK's constructor, which wants one: bare base64 of PKCS#8, RSA of 2048 bits, made once in a process.
     * Antom never learns of it, so it signs nothing of worth and is no secret; what it signed is thrown away in send().
     */
    public static function throwawayKey(): string
    {
        return self::$throwawayKey ??= self::makeKey();
    }

    /**
     * Signs, sends and verifies. The arguments are those of the SDK's sendRequest().
     *
     * @param string $requestUrl scheme and host are kept, the rest is what the agent signed
     * @param list<string> $headers "Name:value"; those the agent makes are replaced, the others are kept. An agent-token needs the
     *     merchant of the constructor: without it, the request would go out for somebody else
     * @param string $reqBody the bytes that are sent
     * @throws AntomException for everything that is not proven to be Antom's answer; what $http throws
     */
    public function send(string $requestUrl, string $httpMethod, array $headers, string $reqBody): Answer
    {
        if (preg_match('~^(https?://[^/?#@\s]+)(/[^#\s]*)$~D', $requestUrl, $part) !== 1) {
            throw AntomException::badParam('url', 'is scheme, host, path and perhaps a query');
        }
        $kept = $this->kept($headers);
        $signed = $this->agent->signRequest($this->profile, $httpMethod, $part[2], $reqBody, merchant: $this->merchant);
        [$status, $came, $body] = ($this->http)($part[1] . $signed->uri, $httpMethod, [...$kept, ...$signed->headerLines()], $reqBody);
        $proof = self::proofOf($came);
        try {
            $this->agent->verifyResponse($this->profile, $httpMethod, $signed->uri, $proof, $body);
        } catch (AntomException $e) {
            throw self::withDiagnosis($e, $status, $body);
        }
        return self::answer($proof, $body);
    }

    /**
     * @param list<string> $lines
     * @return list<string>
     */
    private function kept(array $lines): array
    {
        $kept = [];
        foreach ($lines as $line) {
            if (!is_string($line) || !str_contains($line, ':') || strpbrk($line, "\r\n\0") !== false) {
                throw AntomException::badParam('headers', 'are lines "Name:value", each without a line end');
            }
            $name = strtolower(trim(explode(':', $line, 2)[0]));
            if ($name === 'agent-token' && $this->merchant === null) {
                throw AntomException::badParam('headers', 'hold an agent-token; name its merchant to SdkTransport instead');
            }
            if (!in_array($name, self::OF_THE_AGENT, true)) {
                $kept[] = $line;
            }
        }
        return $kept;
    }

    /**
     * What the agent reads, and no more: another header that is not UTF-8 must not spoil a proof.
     *
     * @param array<string, string|list<string>> $headers
     * @return array<string, list<string>>
     */
    private static function proofOf(array $headers): array
    {
        $proof = [];
        foreach (self::OF_THE_PROOF as $name) {
            $proof[$name] = Headers::of($headers, $name);
        }
        return $proof;
    }

    /** @param array<string, list<string>> $proof */
    private static function answer(array $proof, string $body): Answer
    {
        $time = $proof['response-time'][0] ?? '';
        $signature = '';
        foreach (explode(',', $proof['signature'][0] ?? '') as $parameter) {
            [$name, $value] = [...explode('=', $parameter, 2), ''];
            if (strtolower(trim($name)) === 'signature') {
                $signature = trim($value);
            }
        }
        if ($time === '' || $signature === '') { // with either of them empty the SDK would not verify at all
            throw new AntomException(AntomException::HALF_SIGNED, 'HALF_SIGNED', 'verify', 'the response lacks time or signature');
        }
        return new Answer($body, $time, $signature);
    }

    /** Says what an unproven answer claims: Antom's gateway sends its own failures unsigned. For diagnosis, never as a result. */
    private static function withDiagnosis(AntomException $e, int $status, string $body): AntomException
    {
        $claimed = json_decode($body, true)['result']['resultCode'] ?? null;
        $claim = is_string($claimed) && preg_match('/^\w{1,64}$/D', $claimed) === 1 ? ", result code $claimed" : '';
        $reason = "$e->reason (unproven response: HTTP $status$claim)";
        return new AntomException($e->getCode(), $e->status, $e->errorClass, $reason, $e->field, $e->retryAfterMs, $e);
    }

    private static function makeKey(): string
    {
        $key = openssl_pkey_new(['private_key_type' => OPENSSL_KEYTYPE_RSA, 'private_key_bits' => 2048]);
        if ($key === false || !openssl_pkey_export($key, $pem) || !str_contains($pem, 'BEGIN PRIVATE KEY')) {
            throw new \RuntimeException('OpenSSL makes no key: ' . (openssl_error_string() ?: 'no PKCS#8'));
        }
        return preg_replace('/-----[^-]+-----|\s/', '', $pem);
    }
}
