# cmake -C packaging/cmake/asan.cmake -S . -B build/asan
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
set(ANTAG_HARDEN OFF CACHE BOOL "")
set(ANTAG_SANITIZE "address,undefined" CACHE STRING "")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g" CACHE STRING "")
