<?php

declare(strict_types=1);

namespace AntomAgent\Tests\Support;

/** Another process of this test, which ends with it. What goes wrong there is told by stop(). */
final class Forked
{
    private readonly string $wrong;
    private ?int $pid;

    public function __construct(\Closure $run)
    {
        $this->wrong = tempnam(sys_get_temp_dir(), 'antag-wrong-');
        $pid = pcntl_fork();
        if ($pid === 0) {
            posix_setsid(); // its own children end with it
            self::guarded($run, $this->wrong);
        }
        $this->pid = $pid;
    }

    public function __destruct()
    {
        $this->stop();
    }

    /** What went wrong in it, '' if nothing did. */
    public function stop(): string
    {
        if ($this->pid === null) {
            return '';
        }
        posix_kill(-$this->pid, SIGKILL);
        posix_kill($this->pid, SIGKILL);
        pcntl_waitpid($this->pid, $status);
        $this->pid = null;
        $wrong = file_get_contents($this->wrong);
        unlink($this->wrong);
        return $wrong;
    }

    /** Runs it in a child of this process, which is waited for by nobody. */
    public static function child(\Closure $run, string $wrong): void
    {
        pcntl_signal(SIGCHLD, SIG_IGN);
        if (pcntl_fork() === 0) {
            self::guarded($run, $wrong);
        }
    }

    public function wrongFile(): string
    {
        return $this->wrong;
    }

    /** Ends by SIGKILL, so that nothing of the test runner runs a second time. */
    private static function guarded(\Closure $run, string $wrong): never
    {
        try {
            $run($wrong);
        } catch (Gone) {
            // the other side went away
        } catch (\Throwable $e) {
            file_put_contents($wrong, "$e\n", FILE_APPEND | LOCK_EX);
        }
        posix_kill(getmypid(), SIGKILL);
        exit(1);
    }
}
