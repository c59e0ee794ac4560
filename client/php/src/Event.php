<?php

declare(strict_types=1);

namespace AntomAgent;

/** What changed at the agent. */
final class Event
{
    /**
     * @param string $name epoch, profile, state, lagged or draining
     * @param array<string, mixed> $params as PROTOCOL.md has them, section 7, `watch`
     */
    public function __construct(public readonly string $name, public readonly array $params)
    {
    }
}
