# Libraries, all from Debian 12. The MessagePack module is called msgpack there and msgpack-c elsewhere.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(UV REQUIRED IMPORTED_TARGET libuv>=1.44)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto>=3.0)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium>=1.0.18)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3>=3.40)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl>=7.88) # its headers; the courier loads it
pkg_check_modules(P11KIT REQUIRED p11-kit-1>=0.24) # its headers; keepers of PKCS#11 keyrings load it
pkg_check_modules(TSS REQUIRED tss2-esys>=3.2 tss2-mu tss2-rc tss2-tctildr) # likewise, keepers of TPM keyrings
pkg_check_modules(INIH REQUIRED IMPORTED_TARGET inih)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.13)
pkg_check_modules(ARCHIVE REQUIRED IMPORTED_TARGET libarchive>=3.6) # antomctl looks into archives
pkg_search_module(MSGPACK REQUIRED IMPORTED_TARGET msgpack-c>=4.0 msgpack>=4.0)
if(ANTAG_TESTS)
  pkg_check_modules(CUNIT REQUIRED IMPORTED_TARGET cunit)
endif()
