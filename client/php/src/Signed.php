<?php

declare(strict_types=1);

namespace AntomAgent;

/** A signed request. Send all headers and the body unchanged, to $url, or to $uri of the gateway you use. */
final class Signed
{
    /**
     * @param array<string, string> $headers Client-Id, Request-Time, Signature, Content-Type, and with a merchant Agent-Token, a secret
     * @param string $uri path and query that are signed; they may differ from the ones given (sandbox paths)
     * @param ?string $url where to send; null while the profile has no gateway
     * @param int $version version of the merchant key, as staff counts them
     * @param int $keyVersion the number that stands as keyVersion in the Signature header
     * @param string $record the line of the agent's record that says who had this signed; keep it beside the payment
     */
    public function __construct(
        public readonly array $headers,
        public readonly string $uri,
        public readonly ?string $url,
        public readonly int $version,
        public readonly int $keyVersion,
        public readonly string $record,
    ) {
    }

    /** @return list<string> "Name: value", as stream contexts and CURLOPT_HTTPHEADER take them */
    public function headerLines(): array
    {
        return array_map(static fn ($name, $value) => "$name: $value", array_keys($this->headers), array_values($this->headers));
    }
}
