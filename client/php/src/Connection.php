<?php

declare(strict_types=1);

namespace AntomAgent;

/** @internal One connection, one call at a time. After anything but a whole answer it is of no more use. */
final class Connection
{
    private const ID_MAX = 0x7fffffff;
    private const READ_MAX = 65536;
    private const LOOKS_MAX = 16; // an agent that never stops talking does not hold up the call
    private const EAGAIN = 11; // no extension that names it is needed otherwise

    /** @var ?resource non-blocking; null when it is closed */
    private $stream;
    private readonly int $pid;
    private string $buffer = '';
    private int $frameMax = Encoder::FRAME_MAX;
    private int $nextId = 0;
    private bool $isClean = true;
    private bool $isDraining = false;
    private ?AntomException $said = null;

    /** @throws AntomException UNREACHABLE, TIMEOUT, and what hello is answered */
    public function __construct(private readonly string $path, string $name, Deadline $deadline)
    {
        $this->pid = getmypid();
        $this->stream = self::connect($path, $deadline);
        stream_set_blocking($this->stream, false);
        stream_set_read_buffer($this->stream, 0);
        $hello = Results::map($this->call('hello', ['versions' => [1], 'client' => $name], $deadline));
        $frame = $hello['limits']['frame'] ?? null;
        if (is_int($frame) && $frame > 0) {
            $this->frameMax = $frame;
        }
    }

    /** Of a process that forked, only this process's descriptor. */
    public function close(): void
    {
        if ($this->stream !== null) {
            fclose($this->stream);
            $this->stream = null;
        }
    }

    /** Every request has its answer, and nothing speaks against another one. */
    public function isUsable(): bool
    {
        return $this->isClean && !$this->isDraining && $this->stream !== null && $this->pid === getmypid();
    }

    /** Takes what came while it was idle: the end, or word that it is near, is better known before a request is sent. */
    public function look(): void
    {
        try {
            $reads = 0;
            do { // some of it may have been read behind the last answer
                while (($message = $this->next()) !== null) {
                    $this->note($message);
                }
            } while (++$reads < self::LOOKS_MAX && $this->fill());
        } catch (AntomException) {
            $this->close();
        }
    }

    /**
     * The answer without error.
     *
     * @param array<mixed> $params
     * @throws AntomException the agent's; ConnectionLost; TIMEOUT; BAD_FRAME; BAD_PARAM, and then nothing was sent
     */
    public function call(string $method, array $params, Deadline $deadline): Message
    {
        $frame = Encoder::request($this->nextId, $method, $params, $this->frameMax);
        $id = $this->nextId;
        $this->nextId = ($id + 1) & self::ID_MAX;
        $this->isClean = false;
        $this->send($frame, $deadline);
        do {
            $message = $this->receive($deadline);
            $this->note($message);
        } while ($message->event !== null || $message->id !== $id);
        $this->isClean = true;
        if ($message->error !== null) {
            $this->isDraining = $this->isDraining || $message->error->getCode() === AntomException::DRAINING;
            throw $message->error;
        }
        return $message;
    }

    /**
     * The next message; without a deadline it waits as long as it takes.
     *
     * @throws AntomException ConnectionLost; TIMEOUT; BAD_FRAME
     */
    public function receive(?Deadline $deadline): Message
    {
        while (($message = $this->next()) === null) {
            if ($this->pid !== getmypid()) {
                throw new ConnectionLost(null, 'the connection belongs to the process that forked');
            }
            $this->wait(false, $deadline);
            $this->fill();
        }
        return $message;
    }

    private function note(Message $message): void
    {
        if ($message->event === 'draining') {
            $this->isDraining = true;
        } elseif ($message->event === null && $message->id === null) {
            $this->said = $message->error;
        }
    }

    /** The next message that is whole; null: more bytes are needed. */
    private function next(): ?Message
    {
        if (strlen($this->buffer) < 4) {
            return null;
        }
        $size = unpack('N', $this->buffer)[1];
        if ($size === 0 || $size > $this->frameMax) {
            throw AntomException::badFrame("a frame of $size bytes");
        }
        if (strlen($this->buffer) < 4 + $size) {
            return null;
        }
        $value = substr($this->buffer, 4, $size);
        $this->buffer = substr($this->buffer, 4 + $size);
        return Message::parse($value);
    }

    /** Whether something came. */
    private function fill(): bool
    {
        $data = @fread($this->stream, self::READ_MAX);
        if ($data !== false && $data !== '') {
            $this->buffer .= $data;
            return true;
        }
        return feof($this->stream) ? throw new ConnectionLost($this->said) : false;
    }

    private function send(string $data, Deadline $deadline): void
    {
        for ($at = 0, $size = strlen($data); $at < $size; $at += $count) {
            $count = @fwrite($this->stream, $at === 0 ? $data : substr($data, $at));
            if ($count === false) {
                return; // the agent closed it; it may have said why, which is read next
            }
            if ($at + $count < $size) {
                $this->wait(true, $deadline);
            }
        }
    }

    /** Until it can be written or read, or the other side is gone. */
    private function wait(bool $toWrite, ?Deadline $deadline): void
    {
        do {
            $deadline?->mustHold();
            $read = $toWrite ? null : [$this->stream];
            $write = $toWrite ? [$this->stream] : null;
            $leftUs = $deadline?->leftUs();
            $count = $this->select($read, $write, $leftUs);
        } while ($count === 0);
    }

    /**
     * @param ?list<resource> $read
     * @param ?list<resource> $write
     */
    private function select(?array $read, ?array $write, ?int $leftUs): int
    {
        $except = $why = null;
        set_error_handler(static function (int $level, string $message) use (&$why): bool {
            $why = $message;
            return true;
        });
        try {
            $count = $leftUs === null
                ? stream_select($read, $write, $except, null)
                : stream_select($read, $write, $except, intdiv($leftUs, 1000000), $leftUs % 1000000);
        } finally {
            restore_error_handler();
        }
        if ($count === false && !str_contains((string) $why, '[4]')) { // 4: a signal came, and it is waited on
            throw AntomException::unreachable($this->path, "cannot be waited for: $why");
        }
        return (int) $count;
    }

    /** @return resource */
    private static function connect(string $path, Deadline $deadline)
    {
        for ($pauseUs = 500;; $pauseUs = min(2 * $pauseUs, 20000)) {
            $deadline->mustHold();
            $stream = @stream_socket_client("unix://$path", $errno, $why, $deadline->leftUs() / 1e6);
            if ($stream !== false) {
                return $stream;
            }
            if ($errno !== self::EAGAIN) {
                throw AntomException::unreachable($path, $why);
            }
            usleep($pauseUs); // the queue of the listening socket is full, and no event tells when it is not
        }
    }
}
