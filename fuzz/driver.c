/* Python inside libFuzzer: one target of fuzz/targets, run on inputs that are chosen by what they reach.
 *
 * clang -fsanitize=fuzzer,address gives this program its main. LLVMFuzzerInitialize starts the interpreter of the
 * checkout and asks fuzz/inside.py for the target's check; each input is one call of it. An exception that leaves the
 * check is printed and aborts, so that libFuzzer keeps the input; AddressSanitizer aborts by itself.
 *
 * Two kinds of coverage count. The compiled modules are built with -fsanitize=fuzzer-no-link and report to libFuzzer by
 * themselves: its symbols are exported from here. Lines of Python count in `lines`, which libFuzzer reads as it reads
 * their counters; a line's place in it is a hash, so two lines may share one. Python lines are counted only for targets
 * that ask for it, since it makes Python four times as slow.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define LINES (1 << 16)

__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t lines[LINES];
static PyObject *check;

static void fail(const char *what)
{
    PyErr_Print();
    fprintf(stderr, "fuzz: %s\n", what);
    fflush(NULL);
    abort();
}

static int count_line(PyObject *unused, PyFrameObject *frame, int what, PyObject *argument)
{
    (void)unused;
    (void)argument;
    if (what == PyTrace_LINE) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        uint64_t file = (uint64_t)PyObject_Hash(code->co_filename); /* the same in each run: PYTHONHASHSEED is set */
        uint64_t at = (file ^ (uint64_t)PyFrame_GetLineNumber(frame)) * 0x9E3779B97F4A7C15u;
        uint8_t *counter = &lines[at >> 48];
        if (*counter != 255)
            ++*counter;
        Py_DECREF(code);
    }
    return 0;
}

static void start_python(void)
{
    const char *python = getenv("SIPHOND_FUZZ_PYTHON");
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.parse_argv = 0;
    PyStatus status = PyConfig_SetBytesString(&config, &config.program_name, python ? python : "python3");
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    start_python();
    PyObject *inside = PyImport_ImportModule("fuzz.inside");
    PyObject *pair = inside ? PyObject_CallMethod(inside, "prepare", NULL) : NULL;
    int count_lines;
    if (!pair || !PyArg_ParseTuple(pair, "Op", &check, &count_lines))
        fail("the target could not be made");
    if (count_lines)
        PyEval_SetTrace(count_line, NULL);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    PyObject *input = PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)size);
    PyObject *result = input ? PyObject_CallOneArg(check, input) : NULL;
    if (!result)
        fail("the invariant does not hold");
    Py_DECREF(result);
    Py_DECREF(input);
    return 0;
}
