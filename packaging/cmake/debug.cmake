# cmake -C packaging/cmake/debug.cmake -S . -B build/debug
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(ANTAG_HARDEN OFF CACHE BOOL "")
set(ANTAG_SANITIZE "" CACHE STRING "")
