<?php

declare(strict_types=1);

namespace AntomAgent;

/**
 * PHP's own HTTP streams, with the server's certificate verified: what SdkTransport sends with unless it is given another.
 *
 * It follows no redirect, as what is signed is for one path, and uses no proxy. Plain http goes to this machine only.
 */
final class HttpPost
{
    private const BODY_MAX = 1048576; // the agent verifies no larger one
    private const LOCAL = '~^http://(127\.\d+\.\d+\.\d+|\[::1\]|localhost)(:\d+)?/~';
    private const OF_THE_WIRE = ['host', 'connection', 'content-length', 'transfer-encoding', 'accept-encoding', 'expect'];

    /**
     * @param float $timeout seconds in which the response must be whole, counted from its headers; as long without a byte before
     * @param ?string $caFile PEM file of the authorities to trust; null: the system's
     */
    public function __construct(private readonly float $timeout = 20.0, private readonly ?string $caFile = null)
    {
    }

    /**
     * @param list<string> $lines headers, "Name: value"; a merchant's token may be among them, so traces leave them out
     * @return array{int, array<string, list<string>>, string} status, headers, body
     * @throws AntomException GATEWAY: no whole answer; the request may have been taken all the same
     */
    public function __invoke(string $url, string $method, #[\SensitiveParameter] array $lines, string $body): array
    {
        if (!str_starts_with($url, 'https://') && preg_match(self::LOCAL, $url) !== 1) {
            throw AntomException::badParam('url', 'begins with https://');
        }
        error_clear_last();
        $stream = @fopen($url, 'rb', false, $this->context($method, $lines, $body));
        if ($stream === false) {
            throw self::failed(error_get_last()['message'] ?? 'no connection');
        }
        try {
            $received = $this->read($stream);
            $head = stream_get_meta_data($stream)['wrapper_data'] ?? [];
        } finally {
            fclose($stream);
        }
        return [self::statusOf($head), Headers::fromLines($head), $received];
    }

    /**
     * @param list<string> $lines
     * @return resource
     */
    private function context(string $method, array $lines, string $body)
    {
        $tls = [
            'verify_peer' => true, 'verify_peer_name' => true, 'allow_self_signed' => false,
            'crypto_method' => STREAM_CRYPTO_METHOD_TLSv1_2_CLIENT | STREAM_CRYPTO_METHOD_TLSv1_3_CLIENT,
        ];
        return stream_context_create([
            'http' => [
                'method' => $method, 'header' => [...self::ownLines($lines), 'Connection: close'], 'content' => $body,
                'protocol_version' => 1.1, 'timeout' => $this->timeout, 'follow_location' => 0, 'ignore_errors' => true,
            ],
            'ssl' => $this->caFile === null ? $tls : $tls + ['cafile' => $this->caFile],
        ]);
    }

    /**
     * Without those that tell how the message travels: they are this transport's.
     *
     * @param list<string> $lines
     * @return list<string>
     */
    private static function ownLines(array $lines): array
    {
        return array_values(array_filter($lines, static function (string $line): bool {
            return !in_array(strtolower(trim(explode(':', $line, 2)[0])), self::OF_THE_WIRE, true);
        }));
    }

    /** @param resource $stream */
    private function read($stream): string
    {
        $deadline = Deadline::in($this->timeout);
        for ($body = ''; !feof($stream);) {
            $leftUs = $deadline->leftUs();
            if ($leftUs < 1000) {
                throw self::failed('the response is not whole in time');
            }
            stream_set_timeout($stream, intdiv($leftUs, 1000000), $leftUs % 1000000);
            $body .= (string) @fread($stream, 65536);
            if (strlen($body) > self::BODY_MAX) {
                throw self::failed('the response has more than ' . self::BODY_MAX . ' bytes');
            }
        }
        return $body;
    }

    /** @param list<string> $head */
    private static function statusOf(array $head): int
    {
        $status = 0;
        foreach ($head as $line) {
            if (preg_match('~^HTTP/\S+ (\d{3})~', $line, $m) === 1) {
                $status = (int) $m[1];
            }
        }
        return $status;
    }

    private static function failed(string $why): AntomException
    {
        $why = preg_replace('~^fopen\([^)]*\): ~', '', $why);
        return new AntomException(AntomException::GATEWAY, 'GATEWAY', 'retry', "Antom was not reached: $why");
    }
}
