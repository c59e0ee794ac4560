<?php

declare(strict_types=1);

namespace AntomAgent;

/** @internal A moment of the monotonic clock, at most a day away: the agent takes no longer deadline. */
final class Deadline
{
    private const SECONDS_MAX = 86400.0;

    private function __construct(private readonly int $atNs)
    {
    }

    public static function in(float $seconds): self
    {
        if (is_nan($seconds)) {
            throw AntomException::badParam('timeout', 'is a number of seconds');
        }
        return new self(hrtime(true) + (int) (max(0.0, min($seconds, self::SECONDS_MAX)) * 1e9));
    }

    /** Whole milliseconds, 0 when it has passed. */
    public function leftMs(): int
    {
        return intdiv($this->leftUs(), 1000);
    }

    /** Whole microseconds, 0 when it has passed. */
    public function leftUs(): int
    {
        return max(0, intdiv($this->atNs - hrtime(true), 1000));
    }

    /**
     * Whole milliseconds that are left, at least 1.
     *
     * @throws AntomException TIMEOUT
     */
    public function mustHold(): int
    {
        $leftMs = $this->leftMs();
        return $leftMs >= 1 ? $leftMs : throw AntomException::timedOut();
    }

    /** Returns when it has passed; a signal ends one usleep, not the wait. */
    public function sleepUntil(): void
    {
        while (hrtime(true) < $this->atNs) {
            usleep($this->leftUs() + 1);
        }
    }
}
