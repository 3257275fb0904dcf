<?php
// Loads every class of a generated client, from its folder `lib`; whatever PHP has to say of one is a failure.
error_reporting(E_ALL);
set_error_handler(function ($level, $text, $file, $line) {
    throw new ErrorException($text, 0, $level, $file, $line);
});
require '/usr/share/php/GuzzleHttp/autoload.php';
spl_autoload_register(function ($name) {
    $file = 'lib/' . str_replace('\\', '/', substr($name, strlen('OpenAPI\\Client\\'))) . '.php';
    if (is_file($file)) {
        require_once $file;
    }
});
$count = 0;
foreach (new RecursiveIteratorIterator(new RecursiveDirectoryIterator('lib')) as $file) {
    if (str_ends_with($file, '.php')) {
        require_once $file;
        $count++;
    }
}
echo "$count files\n";
