# cmake -C packaging/cmake/release.cmake -S . -B build/release
set(CMAKE_BUILD_TYPE Release CACHE STRING "")
set(ANTAG_HARDEN ON CACHE BOOL "")
set(ANTAG_SANITIZE "" CACHE STRING "")
