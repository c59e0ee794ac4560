<?php

declare(strict_types=1);

namespace AntomAgent;

/**
 * Why a call has no result. PROTOCOL.md section 5 lists the codes: decide by getCode() where you know it, else by $errorClass.
 */
class AntomException extends \RuntimeException
{
    public const BAD_FRAME = 100;
    public const BAD_PARAM = 104;
    public const HALF_SIGNED = 401;
    public const RETRY = 501;
    public const DEADLINE = 503;
    public const DRAINING = 504;
    public const UNREACHABLE = 505;
    public const TIMEOUT = 506;
    public const GATEWAY = 508;

    private const CLASSES = [1 => 'caller', 2 => 'denied', 3 => 'state', 4 => 'verify', 5 => 'retry'];

    /** Only the agent's own answers are repeated; of what is made here a second try comes too late, or finds the same. */
    private bool $isAnswer = false;

    /**
     * @param int $code the number of the status
     * @param string $status its name; of a code that this version does not know, as the agent gave it
     * @param string $errorClass caller, denied, state, verify, retry or internal
     * @param string $reason a sentence: what was wrong and what is allowed
     * @param ?string $field the parameter at fault
     * @param ?int $retryAfterMs wait at least so many milliseconds before repeating
     */
    public function __construct(
        int $code,
        public readonly string $status,
        public readonly string $errorClass,
        public readonly string $reason,
        public readonly ?string $field = null,
        public readonly ?int $retryAfterMs = null,
        ?\Throwable $previous = null,
    ) {
        parent::__construct("$status: $reason", $code, $previous);
    }

    /** A second try may succeed; one was made already where there was time for it. */
    public function isWorthRepeating(): bool
    {
        return $this->errorClass === 'retry';
    }

    /**
     * @internal The error of an answer.
     * @param array<mixed> $error
     */
    public static function fromAnswer(array $error): self
    {
        $code = $error['code'] ?? null;
        if (!is_int($code)) {
            return self::badFrame('an error without a code');
        }
        $text = static fn (string $key): ?string => is_string($error[$key] ?? null) && $error[$key] !== '' ? $error[$key] : null;
        $after = $error['retry_after_ms'] ?? null;
        $class = $text('class') ?? self::CLASSES[intdiv($code, 100)] ?? 'internal';
        $made = new self($code, $text('name') ?? 'UNKNOWN', $class, $text('message') ?? '', $text('field'),
            is_int($after) ? max($after, 0) : null);
        $made->isAnswer = true;
        return $made;
    }

    /** @internal */
    public static function badFrame(string $what): self
    {
        return new self(self::BAD_FRAME, 'BAD_FRAME', 'caller', "the agent sent $what");
    }

    /** @internal */
    public static function badParam(string $field, string $reason): self
    {
        return new self(self::BAD_PARAM, 'BAD_PARAM', 'caller', $reason, $field);
    }

    /** @internal */
    public static function timedOut(): self
    {
        return new self(self::TIMEOUT, 'TIMEOUT', 'retry', 'no answer came in time');
    }

    /** @internal */
    public static function unreachable(string $path, string $why): self
    {
        return new self(self::UNREACHABLE, 'UNREACHABLE', 'retry', "$path: $why");
    }

    /** @internal Milliseconds before the one repetition; null: there is none. */
    public function pauseMs(): ?int
    {
        $usedItsTime = in_array($this->getCode(), [self::TIMEOUT, self::DEADLINE], true);
        return $this->isAnswer && $this->isWorthRepeating() && !$usedItsTime ? $this->retryAfterMs ?? 0 : null;
    }

    /** @internal As the caller gets it. */
    public function shown(): self
    {
        return $this;
    }
}
