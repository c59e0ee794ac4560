<?php

declare(strict_types=1);

namespace AntomAgent;

/** @internal Results and events, checked. What is missing or of another type is no signature, and no proof. */
final class Results
{
    private const SIGNED = ['Client-Id', 'Request-Time', 'Signature', 'Content-Type'];

    public static function signed(Message $answer): Signed
    {
        $result = self::map($answer);
        $headers = $result['headers'] ?? null;
        if (!is_array($headers)) {
            throw AntomException::badFrame('a result without headers');
        }
        foreach (self::SIGNED as $name) {
            if (($headers[$name] ?? '') === '') {
                throw AntomException::badFrame("a result without the header $name");
            }
        }
        foreach ($headers as $value) {
            if (!self::isText($value)) {
                throw AntomException::badFrame('a header that is no text');
            }
        }
        $url = self::isText($result['url'] ?? null) ? $result['url'] : null;
        return new Signed($headers, self::text($result, 'uri'), $url, self::int($result, 'version'),
            self::int($result, 'key_version'), self::text($result, 'record'));
    }

    public static function verified(Message $answer): Verified
    {
        $result = self::map($answer);
        return new Verified(self::int($result, 'version'), self::text($result, 'time'), self::int($result, 'age_ms'));
    }

    /** @return array<string, mixed> */
    public static function health(Message $answer): array
    {
        $result = self::map($answer);
        self::text($result, 'state');
        return $result;
    }

    /** The first event of a watch, from its answer. */
    public static function firstEpoch(Message $answer): Event
    {
        return new Event('epoch', ['epoch' => self::int(self::map($answer), 'epoch')]);
    }

    /** Null: an answer, or an event of a name or in a form that this version does not know. */
    public static function event(Message $message): ?Event
    {
        $params = $message->value;
        $isKnown = $message->isMap && match ($message->event) {
            'epoch', 'lagged' => is_int($params['epoch'] ?? null),
            'state' => self::isText($params['state'] ?? null),
            'profile' => self::isProfile($params),
            'draining' => true,
            default => false,
        };
        return $isKnown ? new Event($message->event, $params) : null;
    }

    /** @return array<string, mixed> */
    public static function map(Message $answer): array
    {
        if (!$answer->isMap) {
            throw AntomException::badFrame('a result that is no map');
        }
        return $answer->value;
    }

    /** @param array<mixed> $params */
    private static function isProfile(array $params): bool
    {
        return self::isText($params['profile'] ?? null) && self::isText($params['sign'] ?? null) &&
            ($params['sign'] !== 'ready' || (is_int($params['version'] ?? null) && is_int($params['key_version'] ?? null)));
    }

    /** A bin is a string as well, so its bytes are looked at. */
    private static function isText(mixed $value): bool
    {
        return is_string($value) && preg_match('//u', $value) === 1;
    }

    /** @param array<mixed> $result */
    private static function text(array $result, string $name): string
    {
        $value = $result[$name] ?? null;
        return self::isText($value) ? $value : throw AntomException::badFrame("a result without $name");
    }

    /** @param array<mixed> $result */
    private static function int(array $result, string $name): int
    {
        $value = $result[$name] ?? null;
        return is_int($value) ? $value : throw AntomException::badFrame("a result without $name");
    }
}
