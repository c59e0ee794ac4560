<?php

declare(strict_types=1);

namespace AntomAgent;

/** @internal The connection ended before the answer. What the agent gave as the reason stands in its place. */
final class ConnectionLost extends AntomException
{
    public function __construct(
        private readonly ?AntomException $said = null,
        string $why = 'the agent closed the connection before it answered',
    ) {
        parent::__construct(self::RETRY, 'RETRY', 'retry', $why);
    }

    public function pauseMs(): ?int
    {
        return $this->said === null ? 0 : $this->said->pauseMs();
    }

    public function shown(): AntomException
    {
        return $this->said ?? $this;
    }
}
