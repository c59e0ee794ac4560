<?php

declare(strict_types=1);

namespace AntomAgent;

/** A response that the agent has proven to be Antom's. */
final class Answer
{
    /**
     * @param string $body the bytes as they came
     * @param string $time the response-time header
     * @param string $signature what stands behind "signature=" in the signature header
     */
    public function __construct(
        public readonly string $body,
        public readonly string $time,
        public readonly string $signature,
    ) {
    }
}
