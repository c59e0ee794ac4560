<?php

declare(strict_types=1);

namespace AntomAgent\Tests\Support;

/** A small HTTP server on this machine, one request a connection. */
final class HttpServer
{
    public readonly int $port;
    private readonly Forked $process;

    /**
     * @param \Closure(string, array<string, string>, string): (string|iterable<string>) $answer of request line, headers by
     *     lower-case name, and body; the whole response, or its parts as they are sent
     * @param ?string $pem file with key and certificate, for TLS
     */
    public function __construct(\Closure $answer, ?string $pem = null)
    {
        $context = stream_context_create($pem === null ? [] : ['ssl' => ['local_cert' => $pem]]);
        $server = stream_socket_server('tcp://127.0.0.1:0', $errno, $why, STREAM_SERVER_BIND | STREAM_SERVER_LISTEN, $context);
        $this->port = (int) substr(strrchr(stream_socket_get_name($server, false), ':'), 1);
        $this->process = new Forked(static function () use ($server, $answer, $pem): void {
            while (true) {
                $stream = stream_socket_accept($server, -1);
                if ($pem === null || @stream_socket_enable_crypto($stream, true, STREAM_CRYPTO_METHOD_TLS_SERVER) === true) {
                    self::serve($stream, $answer);
                }
                fclose($stream);
            }
        });
        fclose($server);
    }

    public function wrong(): string
    {
        return $this->process->stop();
    }

    /** @param resource $stream */
    private static function serve($stream, \Closure $answer): void
    {
        $request = trim((string) fgets($stream));
        $headers = [];
        while (($line = trim((string) fgets($stream))) !== '') {
            [$name, $value] = explode(':', $line, 2);
            $name = strtolower($name);
            $headers[$name] = (isset($headers[$name]) ? "$headers[$name] & " : '') . trim($value);
        }
        $size = (int) ($headers['content-length'] ?? 0);
        $body = $size > 0 ? stream_get_contents($stream, $size) : '';
        $answered = $answer($request, $headers, $body);
        foreach (is_string($answered) ? [$answered] : $answered as $part) {
            @fwrite($stream, $part);
        }
    }
}
