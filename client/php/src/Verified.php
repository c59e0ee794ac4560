<?php

declare(strict_types=1);

namespace AntomAgent;

/** Proof that a message came from Antom. */
final class Verified
{
    /**
     * @param int $version version of the Antom key that verified it, as staff counts them
     * @param string $time the message's time, as its header has it
     * @param int $ageMs its age by the agent's clock; negative when the time lies a little ahead
     */
    public function __construct(
        public readonly int $version,
        public readonly string $time,
        public readonly int $ageMs,
    ) {
    }
}
