<?php

declare(strict_types=1);

require __DIR__ . '/../src/autoload.php';

spl_autoload_register(static function (string $class): void {
    $file = __DIR__ . '/' . str_replace('\\', '/', substr($class, strlen('AntomAgent\\Tests\\'))) . '.php';
    if (str_starts_with($class, 'AntomAgent\\Tests\\') && is_file($file)) {
        require $file;
    }
});
