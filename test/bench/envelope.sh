# Sealing and opening, beside the bare cipher and pgcrypto.  Sourced by
# test/bench/measure.
# shellcheck shell=sh disable=SC2154

sizes='1024 65536 1048576 16777216'
context="'{\"document_id\": \"c3b8a2f0\", \"part\": \"content\", \"table\": \"documents\", \"user_id\": \"9f3d51c7\"}'"

# Processor time of the session, so that other work on the machine counts less.
make_clock()
{
    sql "CREATE FUNCTION cpu() RETURNS double precision LANGUAGE sql AS
             \$\$SELECT split_part(pg_read_file('/proc/self/schedstat', 0, 1000), ' ', 1)::double precision / 1e9\$\$"
}

# make_loop NAME CALL [PREPARED]: calls (of 1 KiB) or else MB a second, on a
# content "plain"; PREPARED makes "given" of it.  CALL is an integer: of a result
# the length, since assigning the result itself would copy it.  The clock is read once in 64 MB,
# since reading it evicts from the caches what a call finds there otherwise.
make_loop()
{
    sql "CREATE FUNCTION loop_$1(size integer, seconds double precision) RETURNS bigint LANGUAGE plpgsql AS \$\$
         DECLARE
             plain bytea := convert_to(repeat('x', size), 'UTF8');
             key bytea := decode(repeat('42', 32), 'hex');
             given bytea := ${3:-NULL};
             batch integer := least(4000, greatest(1, 64000000 / size));
             began double precision := cpu();
             n bigint := 0;
             dropped integer;
         BEGIN
             WHILE cpu() - began < seconds LOOP
                 n := n + batch;
                 FOR i IN 1..batch LOOP
                     dropped := $2;
                 END LOOP;
             END LOOP;
             RETURN n / (cpu() - began) * CASE WHEN size = 1024 THEN 1 ELSE size / 1e6 END;
         END \$\$"
}

# A function of encrypt()'s arguments that does nothing, for what the loop takes.
make_nothing()
{
    sql "CREATE FUNCTION nothing(plaintext bytea, key_id text, context jsonb) RETURNS integer
             LANGUAGE internal VOLATILE AS 'pg_backend_pid'"
    make_loop nothing "nothing(plain, 'documents', $context)"
}

loop_figure()
{
    figure "$1_$2" "$(sql "SELECT loop_$1($2, $seconds::double precision / 3)")"
}

# Calls a second on 1 KiB, less what the loop takes.
net_figure()
{
    figure "net_$1" "$(awk -v calls="$(median "$1_1024")" -v loop="$(median nothing_1024)" \
        'BEGIN { printf "%.0f", 1 / (1 / calls - 1 / loop) }')"
}

# Messages of 1 KiB a second by the calls of libcrypto that each needs.
make_libcrypto()
{
    quietly gcc -std=gnu99 -O2 -o "$work/libcrypto" "$source/test/bench/envelope/libcrypto.c" -lcrypto
}

libcrypto_figure()
{
    figure "libcrypto_$1" "$("$work/libcrypto" "$1" "$((seconds * 1000 / 3))e-3")"
}

openssl_figure()
{
    quietly openssl speed -mr -evp aes-256-gcm -bytes "$1" -seconds 1
    figure "openssl_$1" "$(awk -F : '/^\+F:/ { printf "%.0f", $NF / 1e6 }' "$work/log")"
}

# kB that a new session's memory grows to by one call, above a call on little.
peak()
{
    psql -qAtX -v ON_ERROR_STOP=1 <<SQL | awk '/VmHWM/ { print $2 }' | awk 'NR == 1 { before = $1 } END { print $1 - before }'
SELECT octet_length(padlock.decrypt(padlock.encrypt('x', 'documents', $context), $context));
SELECT sum(octet_length(substr(plain, 1, 10))) FROM contents;
SELECT pg_read_file('/proc/self/status', 0, 10000);
SELECT $1 FROM contents;
SELECT pg_read_file('/proc/self/status', 0, 10000);
SQL
}

measure_round()
{
    for size in $sizes; do
        openssl_figure "$size"
        for what in seal open encrypt decrypt; do
            loop_figure $what "$size"
        done
    done
    loop_figure nothing 1024
    libcrypto_figure seal
    libcrypto_figure open
}

start_cluster "shared_buffers = '512kB'" "padlock.key_file = '$work/documents.key'" \
    'max_parallel_workers_per_gather = 0'
rm -f "$work/documents.key"
sql 'CREATE EXTENSION pgcrypto SCHEMA public' 2>/dev/null
sql 'SELECT padlock.init_keyring()' >/dev/null
make_clock
make_loop seal "octet_length(padlock.encrypt(plain, 'documents', $context))"
make_loop open "octet_length(padlock.decrypt(given, $context))" "padlock.encrypt(plain, 'documents', $context)"
make_loop encrypt "octet_length(public.encrypt(plain, key, 'aes'))"
make_loop decrypt "octet_length(public.decrypt(given, key, 'aes'))" "public.encrypt(plain, key, 'aes')"
make_nothing
make_libcrypto
sql 'CREATE TABLE contents (plain bytea, sealed bytea)'
sql 'ALTER TABLE contents ALTER plain SET STORAGE EXTERNAL, ALTER sealed SET STORAGE EXTERNAL'
sql "INSERT INTO contents SELECT b, padlock.encrypt(b, 'documents', $context)
       FROM (SELECT convert_to(repeat('x', 16777216), 'UTF8') AS b) s"
for _ in $(seq "$rounds"); do
    measure_round
done
figure allowed "$((2 * 16384 + 1024))"
figure peak_seal "$(peak "octet_length(padlock.encrypt(plain, 'documents', $context))")"
figure peak_open "$(peak "octet_length(padlock.decrypt(sealed, $context))")"

heading 'envelope: MB a second of processor time; other: openssl speed -evp aes-256-gcm'
row 'seal 64 KiB / openssl' seal_65536 openssl_65536 0.7
row 'open 64 KiB / openssl' open_65536 openssl_65536 0.7
row 'seal 1 MiB / openssl' seal_1048576 openssl_1048576 0.9
row 'open 1 MiB / openssl' open_1048576 openssl_1048576 0.9
row 'seal 16 MiB / openssl' seal_16777216 openssl_16777216 0.4
row 'open 16 MiB / openssl' open_16777216 openssl_16777216 0.4
heading 'envelope: the same; other: pgcrypto, AES-256-CBC without authentication'
row 'seal 64 KiB / encrypt()' seal_65536 encrypt_65536
row 'seal 1 MiB / encrypt()' seal_1048576 encrypt_1048576
row 'seal 16 MiB / encrypt()' seal_16777216 encrypt_16777216 4
row 'open 16 MiB / decrypt()' open_16777216 decrypt_16777216
row 'openssl itself, 16 MiB / encrypt()' openssl_16777216 encrypt_16777216
for what in seal open encrypt decrypt; do
    net_figure $what
done
heading 'envelope: calls a second of processor time, 1 KiB, less the loop; other: pgcrypto'
row_of_rate 'seal 1 KiB (6 us) / encrypt()' net_seal net_encrypt 166667
row_of_rate 'open 1 KiB (6 us) / decrypt()' net_open net_decrypt 166667
heading 'what bounds them: the same; other: the calls of libcrypto that such a message needs'
row 'seal 1 KiB / libcrypto alone' net_seal libcrypto_seal
row 'open 1 KiB / libcrypto alone' net_open libcrypto_open
heading 'envelope: kB of memory that may be used for 16 MiB; other: kB that are'
row 'twice 16 MiB and 1 MiB / seal' allowed peak_seal 1
row 'twice 16 MiB and 1 MiB / open' allowed peak_open 1
