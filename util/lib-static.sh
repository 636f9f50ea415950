# shellcheck shell=bash
# An nginx that holds the module, for util/asan and util/valgrind.  Sourced after
# util/lib.sh.

# iv_static_nginx DIR VERSION CC "CC_OPT" "LD_OPT" [FILE...]: configures and
# builds DIR/objs/nginx; what changed is built again, all of it if the flags or
# one of these files did.
iv_static_nginx() {
    local dir=$1 version=$2 cc=$3 cc_opt=$4 ld_opt=$5 source stamp
    shift 5

    stamp=$(
        printf '%s\n' "$version" "$cc" "$cc_opt" "$ld_opt"
        cat config util/lib-static.sh "$@"
        find src -name '*.[ch]' | LC_ALL=C sort
    )

    if [ ! -f "$dir/image_vault.stamp" ] \
        || [ "$(cat "$dir/image_vault.stamp")" != "$stamp" ]
    then
        source=$(util/nginx-source "$version")
        rm -rf "$dir"
        mkdir -p "$dir"
        cp -R "$source/." "$dir/"
        say "configuring nginx $version in ${dir#"$IV_TREE/"}"
        (
            cd "$dir" && ./configure "--with-cc=$cc" \
                "--with-cc-opt=$cc_opt" "--with-ld-opt=$ld_opt" \
                --with-compat --with-threads --with-debug --with-pcre-jit \
                --with-http_ssl_module --with-http_v2_module \
                --with-http_auth_request_module --with-http_realip_module \
                --with-http_stub_status_module --with-http_slice_module \
                --with-http_addition_module --with-http_sub_module \
                --with-http_secure_link_module --with-stream \
                "--add-module=$IV_TREE" >configure.log 2>&1
        ) || {
            tail -n 12 "$dir/configure.log" >&2
            die "configure failed; its whole output is in $dir/configure.log"
        }
        printf '%s\n' "$stamp" >"$dir/image_vault.stamp"
    fi

    say "building nginx $version in ${dir#"$IV_TREE/"}"
    make -s -C "$dir" -j "$(iv_jobs)" -f objs/Makefile build
}
