<?php

declare(strict_types=1);

namespace AntomAgent\Tests\Support;

/** A self-signed certificate and its key, in one PEM file for as long as this object lives. */
final class Certificate
{
    public readonly string $pem;

    public function __construct(string $subjectAltName)
    {
        $config = tempnam(sys_get_temp_dir(), 'antag-cnf-');
        file_put_contents($config, "[req]\ndistinguished_name = dn\n[dn]\n" .
            "[ext]\nsubjectAltName = $subjectAltName\nbasicConstraints = CA:TRUE\n");
        $options = ['config' => $config, 'private_key_bits' => 2048, 'digest_alg' => 'sha256', 'x509_extensions' => 'ext'];
        $key = openssl_pkey_new($options);
        $request = openssl_csr_new(['commonName' => 'antom.test'], $key, $options);
        openssl_x509_export(openssl_csr_sign($request, null, $key, 2, $options, random_int(1, PHP_INT_MAX)), $certificate);
        openssl_pkey_export($key, $private, null, $options);
        unlink($config);
        $this->pem = tempnam(sys_get_temp_dir(), 'antag-pem-');
        file_put_contents($this->pem, $certificate . $private);
    }

    public function __destruct()
    {
        unlink($this->pem);
    }
}
