<?php

declare(strict_types=1);

namespace AntomAgent\Tests\Support;

/** An agent by script, on a Unix socket of its own. The script is run for each connection, each in a process of its own. */
final class ScriptedAgent
{
    public readonly string $path;
    private readonly string $folder;
    private readonly Forked $process;

    /**
     * @param \Closure(Peer): void $script
     * @param array<string, int> $limits
     */
    public function __construct(\Closure $script, array $limits = ['frame' => 1114112])
    {
        $this->folder = sys_get_temp_dir() . '/antag-' . bin2hex(random_bytes(6));
        mkdir($this->folder);
        $this->path = "$this->folder/agent.sock";
        $log = "$this->folder/log";
        touch($log);
        $server = stream_socket_server("unix://$this->path");
        $this->process = new Forked(static function (string $wrong) use ($server, $script, $limits, $log): void {
            for ($number = 0;; $number++) {
                $stream = stream_socket_accept($server, -1);
                $peer = new Peer($stream, $number, $limits, $log);
                Forked::child(static fn () => $script($peer), $wrong);
                fclose($stream);
            }
        });
        fclose($server);
    }

    public function __destruct()
    {
        $this->process->stop();
        array_map('unlink', glob("$this->folder/*"));
        rmdir($this->folder);
    }

    /** @return list<array{int, string, array<mixed>}> number of the connection, method, params, in the order in which they came */
    public function asked(?string $method = null): array
    {
        $lines = explode("\0\n", file_get_contents("$this->folder/log"));
        array_pop($lines);
        $all = array_map('unserialize', $lines);
        return array_values(array_filter($all, static fn (array $one): bool => $method === null || $one[1] === $method));
    }

    public function connections(): int
    {
        return count($this->asked('hello'));
    }

    /** What went wrong in the script, '' if nothing did. It is over then. */
    public function wrong(): string
    {
        return $this->process->stop();
    }
}
