<?php

declare(strict_types=1);

// Stand-in for the seam of Antom's official PHP SDK, written from a description of what it does: it signs in execute(), has
// sendRequest() overridden, verifies behind it, and lets a response pass that carries no signature or no time.

namespace Model {
    class HttpRpcResult
    {
        private $rspBody;
        private $rspTime;
        private $rspSign;

        public function getRspBody()
        {
            return $this->rspBody;
        }

        public function setRspBody($body)
        {
            $this->rspBody = $body;
        }

        public function getRspTime()
        {
            return $this->rspTime;
        }

        public function setRspTime($time)
        {
            $this->rspTime = $time;
        }

        public function getRspSign()
        {
            return $this->rspSign;
        }

        public function setRspSign($sign)
        {
            $this->rspSign = $sign;
        }
    }
}

namespace Client {
    abstract class BaseAlipayClient
    {
        private array $options;

        public function __construct()
        {
            $this->options = func_get_args();
        }

        /** The real one takes a request object, which becomes the body. */
        public function execute($path, $reqBody)
        {
            [$gatewayUrl, $privateKey, $publicKey, $clientId] = $this->options;
            $token = isset($this->options[4]) ? ["agent-token:{$this->options[4]}"] : [];
            if (str_starts_with($clientId, 'SANDBOX_')) {
                $path = preg_replace('~/ams/api~', '/ams/sandbox/api', $path, 1);
            }
            $time = date(DATE_ISO8601);
            openssl_sign("POST $path\n$clientId.$time.$reqBody", $raw, self::pem('RSA PRIVATE KEY', $privateKey), OPENSSL_ALGO_SHA256);
            $rsp = $this->sendRequest($gatewayUrl . $path, 'POST', [
                'Content-Type:application/json; charset=UTF-8', "Request-Time:$time", "client-id:$clientId", ...$token,
                'Signature:algorithm=RSA256,keyVersion=1,signature=' . urlencode(base64_encode($raw)), 'User-Agent:stand-in/1',
            ], $reqBody);
            if ($rsp === null) {
                throw new \Exception('no result');
            }
            if (trim((string) $rsp->getRspSign()) !== '' && trim((string) $rsp->getRspTime()) !== '') {
                $text = "POST $path\n$clientId.{$rsp->getRspTime()}.{$rsp->getRspBody()}";
                $sign = base64_decode(urldecode($rsp->getRspSign()));
                if (openssl_verify($text, $sign, self::pem('PUBLIC KEY', $publicKey), OPENSSL_ALGO_SHA256) !== 1) {
                    throw new \Exception('Response signature verify fail.');
                }
            }
            return json_decode($rsp->getRspBody());
        }

        private static function pem(string $label, string $bare): string
        {
            return "-----BEGIN $label-----\n" . wordwrap($bare, 64, "\n", true) . "\n-----END $label-----";
        }

        abstract protected function sendRequest($requestUrl, $httpMethod, $headers, $reqBody);
    }

    class DefaultAlipayClient extends BaseAlipayClient
    {
        public function __construct()
        {
            parent::__construct(...func_get_args());
        }

        /** A transport that looks at nothing. */
        protected function sendRequest($requestUrl, $httpMethod, $headers, $reqBody)
        {
            $context = stream_context_create(['http' => ['method' => $httpMethod, 'header' => $headers, 'content' => $reqBody]]);
            $result = new \Model\HttpRpcResult();
            $result->setRspBody(file_get_contents($requestUrl, false, $context));
            return $result;
        }
    }
}
