/* rows: tables of named rows in CUnit. A failure prints the name of its row; the exit status of a suite
 * comes from the count of failures, and a suite that ran nothing fails. */
#ifndef TESTS_SUPPORT_ROWS_H
#define TESTS_SUPPORT_ROWS_H

#include <CUnit/Basic.h>
#include <stdio.h>

#define ROW_ASSERT(row, condition)                                                                 \
    do {                                                                                           \
        char row_text[512];                                                                        \
        snprintf(row_text, sizeof row_text, "row \"%.300s\": %.180s", (row), #condition);          \
        CU_assertImplementation((condition), __LINE__, row_text, __FILE__, "", CU_FALSE);          \
    } while (0)

#define ROW_COUNT(rows) (sizeof(rows) / sizeof *(rows))

static inline int run_tests(const char *suite, CU_TestInfo *tests)
{
    CU_SuiteInfo suites[] = {{suite, NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};
    unsigned failed = 1;

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    if (CU_basic_run_tests() == CUE_SUCCESS && CU_get_number_of_asserts() > 0)
        failed = CU_get_number_of_failures() + CU_get_number_of_suites_failed();
    CU_cleanup_registry();
    return failed == 0 ? 0 : 1;
}

#endif
