<?php

declare(strict_types=1);

namespace AntomAgent\Tests\Support;

/** The other side of a connection went away. */
final class Gone extends \RuntimeException
{
}
