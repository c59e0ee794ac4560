<?php

declare(strict_types=1);

// Signs a payment, sends it and verifies the answer. Usage: php pay.php APP/ENV [amount, in the currency's smallest unit]
// The agent: $ANTOM_AGENT_SOCKET. Authorities to trust other than the system's: $ANTOM_CA_FILE.

use AntomAgent\AntomException;
use AntomAgent\Client;
use AntomAgent\Headers;
use AntomAgent\Signed;

require __DIR__ . '/../src/autoload.php';

/** @return array{list<string>, string} status and header lines; body, as it came */
function post(Signed $signed, string $body): array
{
    $context = stream_context_create([
        'http' => [
            'method' => 'POST', 'header' => [...$signed->headerLines(), 'Connection: close'], 'content' => $body,
            'protocol_version' => 1.1, 'timeout' => 30, 'follow_location' => 0, 'ignore_errors' => true,
        ],
        'ssl' => ['verify_peer' => true, 'verify_peer_name' => true] +
            (getenv('ANTOM_CA_FILE') ? ['cafile' => getenv('ANTOM_CA_FILE')] : []),
    ]);
    $stream = @fopen($signed->url, 'rb', false, $context);
    if ($stream === false) {
        // It may have been taken all the same: repeat it with the same paymentRequestId, or ask inquiryPayment.
        fwrite(STDERR, error_get_last()['message'] . "\n");
        exit(1);
    }
    return [stream_get_meta_data($stream)['wrapper_data'], stream_get_contents($stream)];
}

if ($argc < 2) {
    fwrite(STDERR, "usage: php pay.php APP/ENV [amount]\n");
    exit(2);
}
$profile = $argv[1];
$amount = ['currency' => 'USD', 'value' => $argv[2] ?? '1000'];
$body = json_encode([
    'productCode' => 'CASHIER_PAYMENT',
    'paymentRequestId' => bin2hex(random_bytes(16)), // keep it: with the same one Antom charges once
    'order' => ['referenceOrderId' => 'order-1', 'orderDescription' => 'an order', 'orderAmount' => $amount],
    'paymentAmount' => $amount,
    'paymentMethod' => ['paymentMethodType' => 'ALIPAY_CN'],
    'paymentRedirectUrl' => 'https://shop.example/paid',
], JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES);

try {
    $agent = new Client();
    $signed = $agent->signRequest($profile, 'POST', '/ams/api/v1/payments/pay', $body);
    if ($signed->url === null) {
        fwrite(STDERR, "$profile has no gateway yet\n");
        exit(1);
    }
    [$lines, $response] = post($signed, $body);
    $agent->verifyResponse($profile, 'POST', $signed->uri, Headers::fromLines($lines), $response);
} catch (AntomException $e) {
    fwrite(STDERR, $e->getMessage() . "\n");
    exit(1);
}
$answer = json_decode($response, true, 64, JSON_THROW_ON_ERROR); // parsed behind the proof, and not before
echo 'paid ', $answer['paymentId'] ?? $answer['result']['resultCode'], "\n";
