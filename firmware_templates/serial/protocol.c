/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol.h"

#include <string.h>

#include "names.h"

#define BUILT_AS "ULPMark for tinyML Firmware V0.0.1" /* the profile by which the runner knows what it speaks to */
#define TEXT(value) TEXT_OF(value)
#define TEXT_OF(value) #value

#define TAKES_128_OFF (EFF_PROTOCOL_UNSIGNED && sizeof(eff_input_t) == 1u)

#if EFF_PROTOCOL_MSE && EFF_INPUTS != EFF_OUTPUTS
#error "EFF_PROTOCOL_MSE is for a model that gives its input again"
#endif

#if EFF_HAS_LEARN && defined(EFF_SAVE_BYTES)
#define SAVES 1
#else
#define SAVES 0
#endif

/* ------------------------------------------------------------------ out */

static void say(const char *text)
{
    while (*text != '\0') {
        eff_port_put(*text++);
    }
}

static void end_line(void) { say("\r\n"); }

static void say_line(const char *text)
{
    say(text);
    end_line();
}

static void say_whole(uint64_t value)
{
    char digits[20];
    size_t count = 0u;
    do {
        digits[count++] = (char)('0' + (char)(value % 10u));
        value /= 10u;
    } while (value != 0u);
    while (count > 0u) {
        eff_port_put(digits[--count]);
    }
}

static void say_signed(int32_t value)
{
    if (value < 0) {
        eff_port_put('-');
    }
    say_whole(value < 0 ? 0u - (uint32_t)value : (uint32_t)value);
}

static void say_hex(uint8_t byte)
{
    static const char digits[16] = {'0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'};
    eff_port_put(digits[byte >> 4]);
    eff_port_put(digits[byte & 15u]);
}

/* Six decimals; from a million on as 1.234567e6. */
static void say_real(float value)
{
    uint32_t exponent = 0u;
    if (value != value) {
        say("nan");
        return;
    }
    if (value < 0.0f) {
        eff_port_put('-');
        value = -value;
    }
    if (value > 3.4028234e38f) {
        say("inf");
        return;
    }
    for (; exponent > 0u ? value >= 10.0f : value >= 1e6f; exponent++) {
        value /= 10.0f;
    }
    uint32_t whole = (uint32_t)value;
    uint32_t millionths = (uint32_t)((value - (float)whole) * 1e6f + 0.5f);
    if (millionths >= 1000000u) {
        whole++;
        millionths = 0u;
    }
    say_whole(whole);
    eff_port_put('.');
    for (uint32_t place = 100000u; place > 0u; place /= 10u) {
        eff_port_put((char)('0' + (char)(millionths / place % 10u)));
    }
    if (exponent > 0u) {
        eff_port_put('e');
        say_whole(exponent);
    }
}

static void say_with(const char *before, uint64_t value, const char *after)
{
    say(before);
    say_whole(value);
    say_line(after);
}

static void say_code(const char *before, int32_t code)
{
    say(before);
    say_signed(code);
    say_line("]");
}

/* A word of the host: what a terminal would obey, and a bracket, which would end the message, become a dot. */
static void say_word(const char *before, const char *word, size_t length, const char *after)
{
    say(before);
    for (size_t i = 0u; i < length; i++) {
        const char c = word[i];
        eff_port_put(c < ' ' || c > '~' || c == '[' || c == ']' ? '.' : c);
    }
    say_line(after);
}

/* The time, or in energy mode a pulse of a pin, by which the meter marks it. */
static void lap(void)
{
#if EFF_PROTOCOL_ENERGY
    eff_port_pulse();
#else
    say_with("m-lap-us-", eff_port_microseconds(), "");
#endif
}

/* ------------------------------------------------------------------ in */

/* The next word of a line that ends in 0, and its length, 0 at the end. `rest` moves behind it. */
static const char *word_of(const char **rest, size_t *length)
{
    const char *first = *rest;
    while (*first == ' ') {
        first++;
    }
    const char *last = first;
    while (*last != '\0' && *last != ' ') {
        last++;
    }
    *length = (size_t)(last - first);
    *rest = last;
    return first;
}

static int is(const char *word, size_t length, const char *name)
{
    size_t i = 0u;
    while (i < length && name[i] == word[i]) {
        i++;
    }
    return i == length && name[i] == '\0';
}

/* A whole number of digits alone, up to 2^31 - 1; -1 for anything else. */
static int32_t whole_of(const char *word, size_t length)
{
    int32_t value = 0;
    if (length == 0u) {
        return -1;
    }
    for (size_t i = 0u; i < length; i++) {
        const int32_t digit = word[i] - '0';
        if (digit < 0 || digit > 9 || value > (INT32_MAX - digit) / 10) {
            return -1;
        }
        value = 10 * value + digit;
    }
    return value;
}

#ifdef EFF_LARGEST_RATE
/* Millionths of a number such as 0.25 with at most six decimals, up to 2^31 - 1; -1 for anything else. */
static int32_t millionths_of(const char *word, size_t length)
{
    size_t whole = 0u;
    while (whole < length && word[whole] != '.') {
        whole++;
    }
    const size_t decimals = whole < length ? length - whole - 1u : 0u;
    int32_t value = whole_of(word, whole), part = 0;
    if (decimals > 6u || (whole < length && (part = whole_of(word + whole + 1u, decimals)) < 0)) {
        return -1;
    }
    for (size_t i = decimals; i < 6u; i++) {
        part *= 10;
    }
    return value < 0 || value > (INT32_MAX - part) / 1000000 ? -1 : value * 1000000 + part;
}
#endif

static int32_t digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Bytes in hexadecimal to `to`, at `count` of `expected`. All of them, or none and an error: nothing is written past `expected`. */
static int take_hex(const char *word, size_t length, uint8_t *to, uint32_t *count, uint32_t expected)
{
    if (length % 2u != 0u) {
        say_line("e-[Insufficent number of hex digits]"); /* as MLPerf Tiny spells it */
        return 0;
    }
    for (size_t i = 0u; i < length; i += 2u) {
        if (digit_of(word[i]) < 0 || digit_of(word[i + 1u]) < 0) {
            say_word("e-[Invalid hex digit '", word + i, 2u, "']");
            return 0;
        }
    }
    if (length / 2u > expected - *count) {
        say_with("e-[More bytes than the ", expected, " that were announced]");
        return 0;
    }
    for (size_t i = 0u; i < length; i += 2u) {
        to[(*count)++] = (uint8_t)(digit_of(word[i]) * 16 + digit_of(word[i + 1u]));
    }
    return 1;
}

/* ------------------------------------------------------------------ the model */

#if EFF_PROTOCOL_MSE
static float value_of(const eff_protocol *protocol, int32_t index)
{
    float value;
    memcpy(&value, protocol->input.bytes + (size_t)index * sizeof value, sizeof value);
    return value;
}

/* A number of the sample in the model's format, to the nearest and saturated. */
static eff_input_t input_of(float value)
{
#ifdef EFF_INPUT_SCALE
    const float low = sizeof(eff_input_t) == 1u ? -128.0f : -32767.0f, high = sizeof(eff_input_t) == 1u ? 127.0f : 32767.0f;
    const float steps = value / EFF_INPUT_SCALE + (float)EFF_INPUT_ZERO_POINT;
    return (eff_input_t)(steps <= low ? low : steps >= high ? high : (float)(int32_t)(steps + (steps < 0.0f ? -0.5f : 0.5f)));
#else
    return (eff_input_t)value;
#endif
}

static void fill(const eff_protocol *protocol)
{
    for (int32_t i = 0; i < EFF_INPUTS; i++) {
        eff_input()[i] = input_of(value_of(protocol, i));
    }
}
#else
static void fill(const eff_protocol *protocol)
{
    eff_input_t *input = eff_input();
    memcpy(input, protocol->input.bytes, sizeof protocol->input.bytes);
    for (size_t i = 0u; TAKES_128_OFF && i < EFF_INPUTS; i++) {
        input[i] = (eff_input_t)((int32_t)protocol->input.bytes[i] - 128);
    }
}
#endif

static int input_is_there(const eff_protocol *protocol)
{
    if (protocol->count == EFF_PROTOCOL_INPUT_BYTES) {
#if EFF_PROTOCOL_MSE
        for (int32_t i = 0; i < EFF_INPUTS; i++) {
            if (!(value_of(protocol, i) - value_of(protocol, i) == 0.0f)) {
                say_line("e-[Input is not finite]");
                return 0;
            }
        }
#endif
        return 1;
    }
    say("e-[Input incomplete: ");
    say_whole(protocol->count);
    say_with(" of ", EFF_PROTOCOL_INPUT_BYTES, " bytes]");
    return 0;
}

static float score(int32_t index)
{
#ifdef EFF_OUTPUT_SCALE
    return EFF_OUTPUT_SCALE * (float)((int32_t)eff_output()[index] - EFF_OUTPUT_ZERO_POINT);
#else
    return (float)eff_output()[index];
#endif
}

static void results(const eff_protocol *protocol)
{
    if (!protocol->scored) {
        say_line("e-[No results: infer first]");
        return;
    }
    say("m-results-[");
#if EFF_PROTOCOL_MSE
    float sum = 0.0f;
    for (int32_t i = 0; i < EFF_OUTPUTS; i++) {
        const float error = score(i) - value_of(protocol, i);
        sum += error * error;
    }
    say_real(sum / (float)EFF_OUTPUTS);
#endif
    for (int32_t i = EFF_PROTOCOL_MSE ? EFF_OUTPUTS : 0; i < EFF_OUTPUTS; i++) {
        if (i > 0) {
            eff_port_put(',');
        }
        say_real(score(i));
    }
    say_line("]");
}

static int32_t predict(eff_protocol *protocol)
{
    fill(protocol);
    protocol->best = eff_predict();
    protocol->scored = protocol->best >= 0;
    return protocol->best;
}

static void infer(eff_protocol *protocol, const char *rest)
{
    size_t length;
    const char *word = word_of(&rest, &length);
    const int32_t runs = length > 0u ? whole_of(word, length) : 1;
    word = word_of(&rest, &length);
    const int32_t warmup = length > 0u ? whole_of(word, length) : 10;
    if (runs <= 0) {
        say_line("e-[Inference iterations must be >0]");
    } else if (warmup < 0) {
        say_line("e-[Inference warmup must be >=0]");
    } else if ((uint32_t)runs > EFF_PROTOCOL_MOST_RUNS || (uint32_t)warmup > EFF_PROTOCOL_MOST_RUNS) {
        say_with("e-[Inference iterations and warmup must be <=", EFF_PROTOCOL_MOST_RUNS, "]");
    } else if (input_is_there(protocol)) {
        int32_t code = 0;
        say_with("m-warmup-start-", (uint32_t)warmup, "");
        for (int32_t i = 0; i < warmup && code >= 0; i++) {
            code = predict(protocol);
        }
        say_line("m-warmup-done");
        say_with("m-infer-start-", (uint32_t)runs, "");
        lap();
        for (int32_t i = 0; i < runs && code >= 0; i++) {
            code = predict(protocol);
        }
        lap();
        if (code < 0) {
            say_code("e-[Inference refused: code ", code);
            return;
        }
        say_line("m-infer-done");
        results(protocol);
    }
}

static void learn(eff_protocol *protocol, const char *rest)
{
#if EFF_HAS_LEARN && !defined(EFF_LEARNS_VALUES)
    size_t length;
    const char *word = word_of(&rest, &length);
    const int32_t label = whole_of(word, length);
    word = word_of(&rest, &length);
    const int32_t runs = length > 0u ? whole_of(word, length) : 1;
    if (label < 0) {
        say_line("e-[Command 'learn' requires the number of a class]");
    } else if (runs <= 0 || (uint32_t)runs > EFF_PROTOCOL_MOST_RUNS) {
        say_with("e-[Learning steps must be >0 and <=", EFF_PROTOCOL_MOST_RUNS, "]");
    } else if (input_is_there(protocol)) {
        int32_t code = 0;
        say_with("m-learn-start-", (uint32_t)runs, "");
        protocol->scored = 0u;
        lap();
        for (int32_t i = 0; i < runs && code >= 0; i++) {
            fill(protocol);
            code = eff_learn(label);
            protocol->steps += code >= 0;
        }
        lap();
        if (code < 0) {
            protocol->refused++;
            say_code("e-[Learning refused: code ", code);
        } else {
            say_line("m-learn-done");
        }
    }
#else
    (void)protocol;
    (void)rest;
    say_line(EFF_HAS_LEARN ? "e-[This model learns values, not classes]" : "e-[This model does not learn]");
#endif
}

static void rate(const char *rest)
{
#ifdef EFF_LARGEST_RATE
    size_t length;
    const char *word = word_of(&rest, &length);
    const int32_t millionths = millionths_of(word, length);
    if (millionths < 0) {
        say_line("e-[Command 'rate' requires a number with at most six decimals]");
        return;
    }
    const int code = eff_set_rate((float)millionths / 1e6f);
    if (code != EFF_OK) {
        say_code("e-[Rate refused: code ", code);
        return;
    }
    say_line("m-rate-done");
#else
    (void)rest;
    say_line("e-[This model learns without a rate]");
#endif
}

/* ------------------------------------------------------------------ what was learned */

#if SAVES
/* As many bytes a line as a command of `load` can carry. */
static size_t write_state(void *context, uint32_t offset, const void *bytes, size_t length)
{
    const uint8_t *from = bytes;
    (void)context;
    for (size_t i = 0u; i < length; i++) {
        if ((offset + i) % 32u == 0u) {
            say(offset + i > 0u ? "\r\nm-state-" : "m-state-");
        }
        say_hex(from[i]);
    }
    return length;
}
#endif

static void save(void)
{
#if SAVES
    say_with("m-save-start-", EFF_SAVE_BYTES, "");
    const int code = eff_save(write_state, NULL);
    end_line();
    if (code != EFF_STATE_OK) {
        say_code("e-[State not saved: code ", code);
        return;
    }
    say_line("m-save-done");
#else
    say_line("e-[This model saves nothing]");
#endif
}

static void load(eff_protocol *protocol, const char *rest)
{
#if SAVES
    size_t length, room;
    const char *word = word_of(&rest, &length);
    uint8_t *memory = eff_port_memory(&room);
    if (length == 0u) {
        say_line("e-[Command 'load' requires the # of bytes, then bytes]");
    } else if (protocol->state_expected == 0u) {
        const int32_t bytes = whole_of(word, length);
        if (bytes != (int32_t)EFF_SAVE_BYTES) {
            say_with("e-[Command 'load' must be ", EFF_SAVE_BYTES, " bytes]");
        } else if (room < EFF_SAVE_BYTES) {
            say_with("e-[Free memory for a state: ", room, " bytes]");
        } else {
            protocol->state_expected = (uint32_t)bytes;
            protocol->state_count = 0u;
            say_with("m-[Expecting ", (uint32_t)bytes, " bytes]");
        }
    } else if (!take_hex(word, length, memory, &protocol->state_count, protocol->state_expected)) {
        memset(memory, (int)EFF_PROTOCOL_PAINT, EFF_SAVE_BYTES);
        protocol->state_expected = 0u; /* begin again, with the number of bytes */
    } else if (protocol->state_count == protocol->state_expected) {
        const int code = eff_restore_buffer(memory, EFF_SAVE_BYTES);
        memset(memory, (int)EFF_PROTOCOL_PAINT, EFF_SAVE_BYTES);
        protocol->state_expected = 0u;
        protocol->scored = 0u;
        if (code == EFF_STATE_OK) {
            say_line("m-load-done");
        } else {
            say_code("e-[State refused: code ", code);
        }
    }
#else
    (void)protocol;
    (void)rest;
    say_line("e-[This model saves nothing]");
#endif
}

static void init(eff_protocol *protocol)
{
    eff_init();
    protocol->steps = protocol->refused = 0u;
    protocol->scored = 0u;
    say_line("m-init-done");
}

static void state(const eff_protocol *protocol)
{
    const int real = EFF_PROTOCOL_MSE || (eff_input_t)0.5f > (eff_input_t)0;
    say("m-state-[input=");
    say(TAKES_128_OFF ? "uint" : real ? "float" : "int");
    say_whole(EFF_PROTOCOL_MSE ? 32u : 8u * sizeof(eff_input_t));
    say(",inputs=");
    say_whole(EFF_INPUTS);
#if defined(EFF_INPUT_SCALE) && !EFF_PROTOCOL_MSE
    say(",scale=" TEXT(EFF_INPUT_SCALE) ",zero=" TEXT(EFF_INPUT_ZERO_POINT));
#endif
    say(",outputs=");
    say_whole(EFF_OUTPUTS);
    say(",classes=");
    say_whole(EFF_CLASSES);
    say(",learns=");
#ifdef EFF_LEARNS_VALUES
    say("values");
#else
    say(EFF_HAS_LEARN ? "classes" : "nothing");
#endif
    say(",steps=");
    say_whole(protocol->steps);
    say(",refused=");
    say_whole(protocol->refused);
    if (protocol->scored) {
        say(",class=");
        say_signed(protocol->best);
    }
#if SAVES
    say(",saved=");
    say_whole(EFF_SAVE_BYTES);
#endif
#ifdef EFF_PARAMETERS
    say(",parameters=");
    say_whole(EFF_PARAMETERS);
    say(",saturated=");
    say_whole(eff_saturated_parameters());
#endif
    say(",arena=");
    say_whole(EFF_ARENA_BYTES);
    if (eff_port_stack() > 0u) {
        say(",stack=");
        say_whole(eff_port_stack());
    }
    say_line("]");
}

/* ------------------------------------------------------------------ the buffer of the input */

static void print(const eff_protocol *protocol)
{
    for (uint32_t i = 0u; i < protocol->count; i++) {
        say(i % 8u == 0u ? "m-buffer-" : "-");
        say_hex(protocol->input.bytes[i]);
        if (i % 8u == 7u || i + 1u == protocol->count) {
            end_line();
        }
    }
}

static void buffer(eff_protocol *protocol, const char *rest)
{
    size_t length;
    const char *word = word_of(&rest, &length);
    if (length == 0u) {
        say_line("e-[Command 'db' requires a subcommand]");
    } else if (is(word, length, "load")) {
        word = word_of(&rest, &length);
        const int32_t bytes = whole_of(word, length);
        if (length == 0u) {
            say_line("e-[Command 'db load' requires the # of bytes]");
        } else if (bytes <= 0) {
            say_line("e-[Command 'db load' must be >0 bytes]");
        } else if ((size_t)bytes > sizeof protocol->input.bytes) {
            say_with("e-[Command 'db load' must be <=", sizeof protocol->input.bytes, " bytes]");
        } else {
            protocol->expected = (uint32_t)bytes;
            protocol->count = 0u;
            say_with("m-[Expecting ", (uint32_t)bytes, " bytes]");
        }
    } else if (is(word, length, "print")) {
        print(protocol);
    } else if (protocol->expected == 0u) {
        say_line("e-[Command 'db' requires 'db load' before bytes]");
    } else if (take_hex(word, length, protocol->input.bytes, &protocol->count, protocol->expected) &&
               protocol->count == protocol->expected) {
        say_line("m-load-done");
    }
}

/* ------------------------------------------------------------------ commands */

static void obey(eff_protocol *protocol)
{
    const char *rest = protocol->line;
    size_t length;
    const char *word = word_of(&rest, &length);
    if (is(word, length, "name")) {
        say_line("m-name-dut-[" EFF_PROTOCOL_VENDOR "]");
    } else if (is(word, length, "profile")) {
        say_line("m-profile-[" BUILT_AS "]");
        say_line("m-model-[" EFF_PROTOCOL_MODEL "]");
    } else if (is(word, length, "timestamp")) {
        lap();
    } else if (is(word, length, "db")) {
        buffer(protocol, rest);
    } else if (is(word, length, "infer")) {
        infer(protocol, rest);
    } else if (is(word, length, "results")) {
        results(protocol);
    } else if (is(word, length, "learn")) {
        learn(protocol, rest);
    } else if (is(word, length, "rate")) {
        rate(rest);
    } else if (is(word, length, "save")) {
        save();
    } else if (is(word, length, "load")) {
        load(protocol, rest);
    } else if (is(word, length, "state")) {
        state(protocol);
    } else if (is(word, length, "init")) {
        init(protocol);
    } else {
        say_word("e-[Unknown command: ", word, length, "]");
    }
}

static void ready(void) { say_line("m-ready"); }

void eff_protocol_start(eff_protocol *protocol)
{
    eff_init();
    protocol->best = -1;
    say_line(EFF_PROTOCOL_ENERGY ? "m-timestamp-mode-energy" : "m-timestamp-mode-performance");
    lap();
    say_line("m-init-done");
    ready();
}

void eff_protocol_take(eff_protocol *protocol, char character)
{
    if (character == '%') {
        protocol->line[protocol->length] = '\0';
        if (protocol->overlong) {
            say_with("e-[Command longer than ", EFF_PROTOCOL_LINE - 1u, " characters]");
        } else {
            obey(protocol);
        }
        protocol->length = protocol->overlong = 0u;
        ready();
    } else if (character == '\0' || character == '\r' || character == '\n') {
        /* What a terminal sends at its line's end, and a line's break, are not part of a command. */
    } else if (protocol->length < EFF_PROTOCOL_LINE - 1u) {
        protocol->line[protocol->length++] = character;
    } else {
        protocol->overlong = 1u;
    }
}
