# Builds small C programs (unit tests, fuzz drivers) against nginx's headers
# with sanitizers.  Sourced by util/unit and util/fuzz, from the tree's root.
#
# A program's first comment names what it is linked with:
#     sources: src/formats/ngx_iv_png.c src/…      (may go on in more lines)
#     libs: -lcrypto -lz                           (optional)

# prints the folder with nginx's sources and objs/ngx_auto_config.h
nginx_headers() {
    for d in ${NGX_SRC:-build/nginx-*/}; do
        d=${d%/}

        if [ -f "$d/objs/ngx_auto_config.h" ] \
            && [ -f "$d/src/core/ngx_core.h" ]
        then
            echo "$d"
            return 0
        fi
    done

    echo "$0: no configured nginx headers below build/: run \"make build\"" \
         "first, or set NGX_SRC to a configured nginx source tree" >&2
    return 1
}


# program_words FILE WORD: what stands after "WORD:" in the first comment
program_words() {
    sed '/\*\//q' "$1" | awk -v key="$2:" '
        { sub(/\*\/.*$/, ""); sub(/^[ \t]*\/?\**/, "") }
        $1 == key { on = 1; $1 = "" }
        /^[ \t]*$/ || ($1 ~ /:$/ && $1 != key) { on = 0 }
        on { print }' | tr '\n' ' '
}


# build_programs OUT CC "SANITIZERS" "ALWAYS LINKED" FILE…
# Leaves OUT/<name> for each FILE; an object is compiled once for all.
build_programs() {
    out=$1 cc=$2 sanitize=$3 always=$4
    rules=$out/rules.$$
    shift 4

    mkdir -p "$out/obj"

    incs="-Isrc -It/unit -I$NGX -I$NGX/objs"
    for d in core event event/modules os/unix http http/modules http/v2; do
        incs="$incs -I$NGX/src/$d"
    done

    mongoc=
    for pc in mongoc2 libmongoc-1.0; do
        if pkg-config --exists $pc 2>/dev/null; then
            mongoc=$(pkg-config --cflags $pc)
            break
        fi
    done

    {
        echo "CFLAGS = -g -O1 -W -Wall -Wextra -Wno-unused-parameter" \
             "-Wpointer-arith -Werror -fno-omit-frame-pointer" \
             "$sanitize $incs $mongoc"
        echo "all:"

        all=
        objs=
        for f in "$@"; do
            name=$(basename "$f" .c)
            mine=

            for s in "$f" $always $(program_words "$f" sources); do
                if [ ! -f "$s" ]; then
                    echo "$0: $f needs $s, which isn't there" >&2
                    return 1
                fi

                o=$out/obj/$(echo "${s%.c}" | tr / _).o
                mine="$mine $o"

                case " $objs " in
                *" $o "*)
                    ;;
                *)
                    objs="$objs $o"
                    printf '%s: %s\n' "$o" "$s"
                    # shellcheck disable=SC2016
                    printf '\t@%s $(CFLAGS) -MMD -MP -c -o $@ %s\n' "$cc" "$s"
                    ;;
                esac
            done

            all="$all $out/$name"
            printf '%s:%s\n\t@%s %s -o $@%s %s\n' "$out/$name" "$mine" "$cc" \
                   "${LINK_FLAGS:-$sanitize}" "$mine" \
                   "$(program_words "$f" libs)"
        done

        echo "all:$all"
        echo "$objs: $out/flags"
        echo "-include $out/obj/*.d"
    } > "$rules" || return 1

    # unchanged flags keep their time, so that nothing is built for nothing
    { echo "$cc"; sed -n '/^CFLAGS/p' "$rules"; } > "$rules.flags"
    if cmp -s "$rules.flags" "$out/flags"; then
        rm -f "$rules.flags"
    else
        mv "$rules.flags" "$out/flags"
    fi

    ${MAKE:-make} -s -k -j "${JOBS:-2}" -f "$rules" all
    rc=$?
    rm -f "$rules"

    return $rc
}
