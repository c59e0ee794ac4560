<?php

declare(strict_types=1);

namespace AntomAgent;

/** @internal An answer or an event, of a shape that is known. */
final class Message
{
    private function __construct(
        public readonly ?int $id,
        /** The name of an event; null: an answer. */
        public readonly ?string $event,
        public readonly ?AntomException $error,
        /** The result of an answer, the params of an event. */
        public readonly mixed $value,
        public readonly bool $isMap,
    ) {
    }

    /**
     * @param string $bytes the value of a frame
     * @throws AntomException BAD_FRAME
     */
    public static function parse(string $bytes): self
    {
        $decoder = new Decoder($bytes);
        $count = $decoder->enterArray();
        $kind = $count === 3 || $count === 4 ? $decoder->value() : null;
        $made = match (true) {
            $count === 4 && $kind === 1 => self::answer($decoder),
            $count === 3 && $kind === 2 => self::event($decoder),
            default => throw self::noMessage(),
        };
        $decoder->end();
        return $made;
    }

    private static function answer(Decoder $decoder): self
    {
        $id = $decoder->value();
        $hasError = $decoder->isAtMap();
        $error = $decoder->value();
        if (($id !== null && !is_int($id)) || ($error !== null && !$hasError)) {
            throw self::noMessage();
        }
        $isMap = $decoder->isAtMap();
        return new self($id, null, $hasError ? AntomException::fromAnswer($error) : null, $decoder->value(), $isMap);
    }

    private static function event(Decoder $decoder): self
    {
        $name = $decoder->value();
        if (!is_string($name)) {
            throw self::noMessage();
        }
        $isMap = $decoder->isAtMap();
        return new self(null, $name, null, $decoder->value(), $isMap);
    }

    private static function noMessage(): AntomException
    {
        return AntomException::badFrame('a value that is no message');
    }
}
