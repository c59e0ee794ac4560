<?php
// Signatures by PHP, one after the other; see bench.py.

declare(strict_types=1);

require __DIR__ . '/../../../client/php/src/autoload.php';

const PAY = '/ams/api/v1/payments/pay';
[, $mode, $where, $who, $ms] = $argv;
$body = '{"paymentRequestId":"' . str_repeat('x', 277) . '"}';

function byAgent(string $socket, string $profile, string $body): Closure
{
    $agent = new AntomAgent\Client(path: $socket);
    return fn () => $agent->signRequest($profile, 'POST', PAY, $body);
}

function inProcess(string $mode, string $path, string $clientId, string $body): Closure
{
    $pem = "-----BEGIN PRIVATE KEY-----\n" . chunk_split(trim(file_get_contents($path)), 64, "\n") . "-----END PRIVATE KEY-----\n";
    $kept = openssl_pkey_get_private($pem);
    return function () use ($mode, $pem, $kept, $clientId, $body) {
        $now = (string) (int) (microtime(true) * 1000);
        openssl_sign('POST ' . PAY . "\n$clientId.$now.$body", $raw, $mode === 'parse' ? $pem : $kept, OPENSSL_ALGO_SHA256);
        $value = rawurlencode(base64_encode($raw));
        return ['Client-Id' => $clientId, 'Request-Time' => $now, 'Signature' => "algorithm=RSA256,keyVersion=1,signature=$value"];
    };
}

$sign = $mode === 'agent' ? byAgent($where, $who, $body) : inProcess($mode, $where, $who, $body);
for ($i = 0; $i < 20; $i++) {
    $sign();
}
$spent = [];
$begin = hrtime(true);
$end = $begin + (int) $ms * 1000000;
for ($now = $begin; $now < $end; $now = $then) {
    $sign();
    $then = hrtime(true);
    $spent[] = $then - $now;
}
$total = hrtime(true) - $begin;
sort($spent);
$n = count($spent);
echo json_encode(['rate' => $n / $total * 1e9, 'p50_us' => $spent[intdiv($n, 2)] / 1000, 'p99_us' => $spent[intdiv($n * 99, 100)] / 1000]), "\n";
