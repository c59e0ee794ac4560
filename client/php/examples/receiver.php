<?php

declare(strict_types=1);

// Receives notifications. php receiver.php APP/ENV PORT serves them on 127.0.0.1 with PHP's own server, which runs this file for each
// request. Behind FPM it works as it stands, with ANTOM_PROFILE in its environment. The agent: $ANTOM_AGENT_SOCKET.

use AntomAgent\AntomException;
use AntomAgent\Client;

require __DIR__ . '/../src/autoload.php';

const BODY_MAX = 1048576;

/** Status to answer with; 200 for what is proven, and for nothing else. */
function receive(string $profile): int
{
    if ((int) ($_SERVER['CONTENT_LENGTH'] ?? 0) > BODY_MAX) {
        return 413; // not read here; the server in front may have
    }
    // Raw, both of them. php://input is empty for multipart/form-data, which Antom does not send.
    $body = file_get_contents('php://input', false, null, 0, BODY_MAX + 1);
    if (strlen($body) > BODY_MAX) {
        return 413; // without Content-Length
    }
    $target = $_SERVER['REQUEST_URI']; // path and query as the client sent them, unless a server in front rewrote them
    try {
        (new Client())->verifyNotification($profile, 'POST', $target, getallheaders(), $body);
    } catch (AntomException $e) {
        error_log($e->getMessage());
        return in_array($e->errorClass, ['verify', 'caller'], true) ? 400 : 503; // after 503 Antom sends it again
    }
    // Only now parse and act. Antom repeats notifications, so the application has to know those it has acted on already.
    file_put_contents('php://stdout', "notified $target " . strlen($body) . "\n");
    return 200;
}

function answer(int $status): void
{
    http_response_code($status);
    if ($status === 200) {
        header('Content-Type: application/json');
        echo '{"result":{"resultCode":"SUCCESS","resultStatus":"S","resultMessage":"success"}}';
    }
}

/** Becomes PHP's server, so that who stops this process stops the server. */
function serve(string $profile, int $port): never
{
    $probe = @stream_socket_server("tcp://127.0.0.1:$port", $errno, $why);
    if ($probe === false) {
        fwrite(STDERR, "port $port: $why\n");
        exit(1);
    }
    $port = (int) substr(strrchr(stream_socket_get_name($probe, false), ':'), 1);
    fclose($probe);
    $child = pcntl_fork();
    if ($child === 0) {
        if (pcntl_fork() === 0) { // nobody's child, so that none is left unwaited for
            tellWhenItListens($port);
        }
        exit(0);
    }
    pcntl_waitpid($child, $status);
    pcntl_exec(PHP_BINARY, ['-S', "127.0.0.1:$port", __FILE__], ['ANTOM_PROFILE' => $profile] + getenv());
    exit(1);
}

/** The server says so on its standard error only. */
function tellWhenItListens(int $port): void
{
    for ($tries = 0; $tries < 1000; $tries++) {
        if (@stream_socket_client("tcp://127.0.0.1:$port") !== false) {
            echo "listening on $port\n";
            return;
        }
        usleep(10000);
    }
}

if (PHP_SAPI !== 'cli') {
    answer(receive((string) getenv('ANTOM_PROFILE')));
} elseif ($argc === 3 && ctype_digit($argv[2])) {
    serve($argv[1], (int) $argv[2]);
} else {
    fwrite(STDERR, "usage: php receiver.php APP/ENV PORT\n");
    exit(2);
}
