# cmake -C packaging/cmake/tsan.cmake -S . -B build/tsan
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(ANTAG_HARDEN OFF CACHE BOOL "")
set(ANTAG_SANITIZE "thread" CACHE STRING "")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g" CACHE STRING "")
