<?php

declare(strict_types=1);

namespace AntomAgent;

/** HTTP headers as verifyResponse and verifyNotification take them: name to text, or to a list of texts. */
final class Headers
{
    /**
     * Of the lines "Name: value" that PHP's HTTP streams leave in `wrapper_data`. A name that comes twice has two values,
     * for the agent to judge. After several status lines (100 Continue) those behind the last one count.
     *
     * @param iterable<string> $lines
     * @return array<string, list<string>>
     */
    public static function fromLines(iterable $lines): array
    {
        $headers = [];
        foreach ($lines as $line) {
            if (str_starts_with($line, 'HTTP/')) {
                $headers = [];
            } elseif (str_contains($line, ':')) {
                [$name, $value] = explode(':', $line, 2);
                $headers[trim($name)][] = trim($value, " \t\r\n");
            }
        }
        return $headers;
    }

    /**
     * The values of one name, whatever its case.
     *
     * @param array<string|list<string>|null> $headers
     * @return list<string>
     */
    public static function of(array $headers, string $name): array
    {
        $values = [];
        foreach ($headers as $key => $value) {
            if (strcasecmp((string) $key, $name) === 0) {
                $values = [...$values, ...array_values((array) $value)];
            }
        }
        return $values;
    }
}
