<?php

declare(strict_types=1);

namespace AntomAgent\Tests\Support;

/** The agent's end of one connection. It packs with the extension alone, so that it shares no code with the client. */
final class Peer
{
    private string $buffer = '';
    private ?string $held = null;

    /**
     * @param resource $stream
     * @param array<string, int> $limits
     */
    public function __construct(private $stream, public readonly int $number, private readonly array $limits, private readonly string $log)
    {
    }

    /** @return \Generator<int, object{id: int, method: string, params: array<mixed>}> all but hello, which is answered here */
    public function requests(): \Generator
    {
        while (true) {
            $request = $this->read();
            file_put_contents($this->log, serialize([$this->number, $request->method, $request->params]) . "\0\n", FILE_APPEND | LOCK_EX);
            if ($request->method === 'hello') {
                $this->answer($request->id, ['version' => 1, 'limits' => $this->limits, 'state' => 'ready']);
            } else {
                yield $request;
            }
        }
    }

    public function next(): object
    {
        return $this->requests()->current();
    }

    public function answer(?int $id, mixed $result): void
    {
        $this->send(self::frame(msgpack_pack([1, $id, null, $result])));
    }

    public function refuse(?int $id, int $code, string $name, string $class, array $more = []): void
    {
        $error = ['code' => $code, 'name' => $name, 'class' => $class, 'message' => 'said so'] + $more;
        $this->send(self::frame(msgpack_pack([1, $id, $error, null])));
    }

    /** The answer to a sign_request; a hash of its body stands in the Signature. */
    public function signed(object $request, array $more = []): void
    {
        $this->answer($request->id, $more + [
            'headers' => ['Client-Id' => '5Y', 'Request-Time' => '1', 'Signature' => md5($request->params['body']),
                'Content-Type' => 'application/json; charset=UTF-8'],
            'uri' => '/sent', 'version' => 1, 'key_version' => 7, 'record' => 'soft:1',
        ]);
    }

    public function event(string $name, array $params): void
    {
        $this->send(self::frame(msgpack_pack([2, $name, $params])));
    }

    /** What is sent from now on goes out in one piece, by release(). */
    public function hold(): void
    {
        $this->held = '';
    }

    public function release(): void
    {
        [$bytes, $this->held] = [$this->held, null];
        $this->send($bytes);
    }

    public function send(string $bytes): void
    {
        if ($this->held !== null) {
            $this->held .= $bytes;
            return;
        }
        for ($at = 0; $at < strlen($bytes); $at += $count) {
            $count = @fwrite($this->stream, substr($bytes, $at));
            if ($count === false) {
                throw new Gone();
            }
        }
    }

    /** For all processes that hold it. */
    public function close(): void
    {
        stream_socket_shutdown($this->stream, STREAM_SHUT_RDWR);
        fclose($this->stream);
    }

    public static function frame(string $value): string
    {
        return pack('N', strlen($value)) . $value;
    }

    private function read(): object
    {
        $size = unpack('N', $this->take(4))[1];
        $frame = $this->take($size);
        [$kind, $id, $method, $params] = msgpack_unpack($frame);
        if ($kind !== 0 || !is_int($id)) {
            throw new \UnexpectedValueException('no request: ' . bin2hex($frame));
        }
        return (object) ['id' => $id, 'method' => $method, 'params' => (array) $params];
    }

    private function take(int $size): string
    {
        while (strlen($this->buffer) < $size) {
            $data = @fread($this->stream, 65536);
            if ($data === '' || $data === false) {
                throw new Gone();
            }
            $this->buffer .= $data;
        }
        $taken = substr($this->buffer, 0, $size);
        $this->buffer = substr($this->buffer, $size);
        return $taken;
    }
}
