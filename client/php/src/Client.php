<?php

declare(strict_types=1);

namespace AntomAgent;

/**
 * Calls to one agent, one at a time, on a connection that is made by the first call and kept.
 *
 * Everything that goes wrong is an AntomException. A connection that is lost, and an answer of class "retry", are repeated once, if
 * there is time. A process that forks may go on using its client: the child connects anew.
 */
final class Client
{
    private const SOCKET_DEFAULT = '/run/antom-agent/agent.sock';
    private const PATH_MAX = 107;
    private const NAME = 'antomagent-php/0.1.0';

    private readonly string $path;
    private ?Connection $connection = null;

    /**
     * @param ?string $path of agent.sock; null: $ANTOM_AGENT_SOCKET, else /run/antom-agent/agent.sock
     * @param float $timeout seconds for each call, its repetition included, unless the call names another; at most a day
     * @param string $name of your service and its version, for the agent's log; at most 128 bytes
     * @throws AntomException BAD_PARAM, field path: over 107 bytes
     */
    public function __construct(
        ?string $path = null,
        private readonly float $timeout = 10.0,
        private readonly string $name = self::NAME,
    ) {
        $this->path = ($path ?? '') !== '' ? $path : (getenv('ANTOM_AGENT_SOCKET') ?: self::SOCKET_DEFAULT);
        if (strlen($this->path) > self::PATH_MAX || str_contains($this->path, "\0")) {
            throw AntomException::badParam('path', "a socket's path has at most 107 bytes, and no NUL");
        }
    }

    public function __clone()
    {
        $this->connection = null;
    }

    /** The next call connects again. */
    public function close(): void
    {
        $this->connection?->close();
        $this->connection = null;
    }

    /**
     * Signs a request to Antom.
     *
     * @param string $profile APP/sandbox or APP/live
     * @param string $method the HTTP method, nearly always POST
     * @param string $uri path and query, as on the request line
     * @param string $body exactly the bytes that will be sent; at most 1 MiB
     * @param ?string $time what shall stand in Request-Time; null: the agent's clock
     * @param ?string $merchant for ISVs: the merchant whose authorization token goes along
     * @param ?string $trace goes into the agent's log, to find this call again
     * @param ?float $timeout seconds
     * @throws AntomException
     */
    public function signRequest(
        string $profile,
        string $method,
        string $uri,
        string $body,
        ?string $time = null,
        ?string $merchant = null,
        ?string $trace = null,
        ?float $timeout = null,
    ): Signed {
        return Results::signed($this->ask('sign_request', [
            'profile' => $profile, 'method' => $method, 'uri' => $uri, 'body' => $body,
            'time' => $time, 'merchant' => $merchant, 'trace' => $trace,
        ], $timeout));
    }

    /**
     * Proves that a response is Antom's: it returns, or throws for everything that is not proven.
     *
     * @param string $method of the request
     * @param string $uri path and query of the request
     * @param array<string, string|list<string>|null> $headers of the response; Headers::fromLines makes them of lines
     * @param string $body as it came, after transfer and content decoding, before any parsing
     * @param ?int $maxAgeMs oldest message taken; 0: any age; null: the profile's setting
     * @param ?float $timeout seconds
     * @throws AntomException
     */
    public function verifyResponse(
        string $profile,
        string $method,
        string $uri,
        array $headers,
        string $body,
        ?int $maxAgeMs = null,
        ?string $trace = null,
        ?float $timeout = null,
    ): Verified {
        return $this->verify('verify_response', $profile, $method, $uri, $headers, $body, $maxAgeMs, $trace, $timeout);
    }

    /**
     * Proves that a notification is Antom's: it returns, or throws for everything that is not proven. Antom repeats
     * notifications: expect each twice.
     *
     * @param string $uri the raw request target as it reached your edge, neither decoded nor rewritten: $_SERVER['REQUEST_URI']
     * @param array<string, string|list<string>|null> $headers as getallheaders() returns them
     * @param string $body the raw body: php://input
     * @param ?int $maxAgeMs oldest message taken; 0: any age; null: the profile's setting
     * @param ?float $timeout seconds
     * @throws AntomException
     */
    public function verifyNotification(
        string $profile,
        string $method,
        string $uri,
        array $headers,
        string $body,
        ?int $maxAgeMs = null,
        ?string $trace = null,
        ?float $timeout = null,
    ): Verified {
        return $this->verify('verify_notification', $profile, $method, $uri, $headers, $body, $maxAgeMs, $trace, $timeout);
    }

    /**
     * What is signed, and which mistake explains a refusal: for people who look for a fault.
     *
     * @param string $kind sign, response or notification
     * @param ?array<string, string|list<string>|null> $headers with response and notification; null: none came
     * @param ?string $time with sign
     * @param ?string $merchant with sign
     * @param ?int $maxAgeMs with response and notification
     * @param ?float $timeout seconds
     * @return array<string, mixed> as PROTOCOL.md has it, section 7
     * @throws AntomException
     */
    public function explain(
        string $kind,
        string $profile,
        string $method,
        string $uri,
        string $body,
        ?array $headers = null,
        ?string $time = null,
        ?string $merchant = null,
        ?int $maxAgeMs = null,
        ?string $trace = null,
        ?float $timeout = null,
    ): array {
        return Results::map($this->ask('explain', [
            'kind' => $kind, 'profile' => $profile, 'method' => $method, 'uri' => $uri, 'body' => $body,
            'headers' => $headers === null ? null : self::named($headers), 'time' => $time, 'merchant' => $merchant,
            'max_age_ms' => $maxAgeMs, 'trace' => $trace,
        ], $timeout));
    }

    /**
     * State of the agent and of the profiles this caller may use; it answers while the agent is locked, too.
     *
     * @return array<string, mixed> state, and perhaps reason and profiles
     * @throws AntomException
     */
    public function health(?float $timeout = null): array
    {
        return Results::health($this->ask('health', [], $timeout));
    }

    /**
     * What changes at the agent, as it comes, the epoch in force first; on a connection of its own, until that ends: then
     * AntomException. Drop the generator to end it. It waits without end between events.
     *
     * @return \Generator<int, Event, mixed, never>
     * @throws AntomException
     */
    public function watch(): \Generator
    {
        $connection = null;
        try {
            $deadline = Deadline::in($this->timeout);
            $connection = new Connection($this->path, $this->name, $deadline);
            yield Results::firstEpoch($connection->call('watch', [], $deadline));
            while (true) {
                $event = Results::event($connection->receive(null));
                if ($event !== null) {
                    yield $event;
                }
            }
        } catch (AntomException $e) {
            throw $e->shown();
        } finally {
            $connection?->close();
        }
    }

    /**
     * Any method of the agent; its result as it came, maps as arrays.
     *
     * @param array<string, mixed> $params null counts as not given; `body` goes as bytes, other strings as text
     * @throws AntomException
     */
    public function call(string $method, array $params = [], ?float $timeout = null): mixed
    {
        return $this->ask($method, $params, $timeout)->value;
    }

    /** @param array<mixed> $headers */
    private function verify(
        string $kind,
        string $profile,
        string $method,
        string $uri,
        array $headers,
        string $body,
        ?int $maxAgeMs,
        ?string $trace,
        ?float $timeout,
    ): Verified {
        return Results::verified($this->ask($kind, [
            'profile' => $profile, 'method' => $method, 'uri' => $uri, 'headers' => self::named($headers), 'body' => $body,
            'max_age_ms' => $maxAgeMs, 'trace' => $trace,
        ], $timeout));
    }

    /**
     * A list of lines would have numbers for names, and look like a message without a signature.
     *
     * @param array<mixed> $headers
     * @return array<mixed>
     */
    private static function named(array $headers): array
    {
        if ($headers !== [] && array_is_list($headers)) {
            throw AntomException::badParam('headers', 'map names to texts; Headers::fromLines makes such a map of lines');
        }
        return $headers;
    }

    /** @param array<mixed> $params */
    private function ask(string $method, array $params, ?float $timeout): Message
    {
        $deadline = Deadline::in($timeout ?? $this->timeout);
        try {
            return $this->attempt($method, $params, $deadline);
        } catch (AntomException $e) {
            $pauseMs = $e->pauseMs();
            if ($pauseMs === null || $pauseMs >= $deadline->leftMs()) {
                throw $e->shown();
            }
        }
        Deadline::in($pauseMs / 1000)->sleepUntil();
        try {
            return $this->attempt($method, $params, $deadline);
        } catch (AntomException $e) {
            throw $e->shown();
        }
    }

    /** @param array<mixed> $params */
    private function attempt(string $method, array $params, Deadline $deadline): Message
    {
        $connection = $this->taken() ?? new Connection($this->path, $this->name, $deadline);
        try {
            return $connection->call($method, ['deadline_ms' => $deadline->mustHold()] + $params, $deadline);
        } finally {
            if ($connection->isUsable()) {
                $this->connection = $connection;
            } else {
                $connection->close();
            }
        }
    }

    /** It is given back after a whole answer only: what a signal handler throws must not leave half of one to the next call. */
    private function taken(): ?Connection
    {
        $connection = $this->connection;
        $this->connection = null;
        if ($connection !== null && $connection->isUsable()) {
            $connection->look();
        }
        return $connection !== null && $connection->isUsable() ? $connection : null;
    }
}
