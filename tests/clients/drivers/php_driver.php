<?php

declare(strict_types=1);

// Driver of the PHP client. Protocol: tests/clients/README.md. One call is under way at a time, so `many` are made one after the other.

use AntomAgent\AntomException;
use AntomAgent\Client;

require __DIR__ . '/../../../client/php/src/autoload.php';

ini_set('display_errors', 'stderr');
error_reporting(E_ALL);
set_error_handler(static function (int $level, string $message, string $file, int $line): bool {
    if ((error_reporting() & $level) === 0) { // behind an @
        return false;
    }
    throw new ErrorException($message, 0, $level, $file, $line);
});

function say(array $line): void
{
    fwrite(STDOUT, json_encode($line, JSON_THROW_ON_ERROR) . "\n");
}

function failed(AntomException $e): array
{
    return ['error' => [
        'code' => $e->getCode(), 'name' => $e->status, 'class' => $e->errorClass, 'message' => $e->reason, 'field' => $e->field,
        'retry_after_ms' => $e->retryAfterMs,
    ]];
}

function result(Client $client, array $c): array
{
    $timeout = isset($c['deadline_ms']) ? $c['deadline_ms'] / 1000 : null;
    if ($c['op'] === 'health') {
        return ['state' => $client->health(timeout: $timeout)['state']];
    }
    $call = [
        'profile' => $c['profile'], 'method' => $c['method'], 'uri' => $c['uri'], 'body' => base64_decode($c['body'], true),
        'trace' => $c['trace'] ?? null, 'timeout' => $timeout,
    ];
    if ($c['op'] === 'sign') {
        $s = $client->signRequest(...$call, time: $c['time'] ?? null, merchant: $c['merchant'] ?? null);
        return ['headers' => $s->headers, 'uri' => $s->uri, 'url' => $s->url, 'version' => $s->version,
            'key_version' => $s->keyVersion, 'record' => $s->record];
    }
    $verify = ['verify_response' => $client->verifyResponse(...), 'verify_notification' => $client->verifyNotification(...)][$c['op']];
    $v = $verify(...$call, headers: $c['headers'], maxAgeMs: $c['max_age_ms'] ?? null);
    return ['version' => $v->version, 'time' => $v->time, 'age_ms' => $v->ageMs];
}

function one(Client $client, array $c): array
{
    try {
        return ['ok' => result($client, $c)];
    } catch (AntomException $e) {
        return failed($e);
    }
}

function watch(Client $client, int $count): array
{
    try {
        foreach ($client->watch() as $event) {
            say(['event' => $event->name, 'params' => (object) $event->params]);
            if (--$count === 0) {
                break;
            }
        }
        return ['ok' => (object) []];
    } catch (AntomException $e) {
        return failed($e);
    }
}

function open(array $c, ?Client &$client): array
{
    try {
        $client = new Client($c['socket'], timeout: ($c['timeout_ms'] ?? 10000) / 1000, name: 'driver 1');
        return ['ok' => (object) []];
    } catch (AntomException $e) {
        return failed($e);
    }
}

$client = null;
while (($line = fgets(STDIN)) !== false) {
    $c = json_decode($line, true, 512, JSON_THROW_ON_ERROR);
    say(match ($c['op']) {
        'open' => open($c, $client),
        'many' => ['ok' => array_map(static fn (array $call): array => one($client, $call), $c['calls'])],
        'watch' => watch($client, $c['count']),
        default => one($client, $c),
    });
}
$client?->close();
