<?php

declare(strict_types=1);

// Loads the classes of this folder where Composer is not in use.
spl_autoload_register(static function (string $class): void {
    if (str_starts_with($class, 'AntomAgent\\')) {
        $file = __DIR__ . '/' . str_replace('\\', '/', substr($class, strlen('AntomAgent\\'))) . '.php';
        if (is_file($file)) {
            require $file;
        }
    }
});
