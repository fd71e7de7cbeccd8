# shellcheck shell=bash disable=SC2119,SC2120,SC2154 # row_start may have arguments; bats and small.bash set variables
# SPDX-License-Identifier: MIT
# Runs rows of a boot table. Each row is a guest with a small root: its disks, the kernel's command line, and what must come of it. A table is a
# text of rows, and a row of lines "KEY: VALUE", of which a line that begins with a blank continues the one above:
#
#     row       title
#     drivers   the union drivers for which it makes sense: index overlay unionfs
#     default   FLAVOUR/DRIVER… of the runs that are made unless MLIMG_BOOT_TABLE asks for others; either may be *
#     needs     images to be made before, by functions make_NEED
#     change    a function with its arguments, called before the guest starts: it spoils something, or makes a disk
#     software  software layers that are attached as mlimg-vm does it, bottom first; NAME{1..9} are several
#     stack     software layers that the kernel's command line names, where that is not mlimg-vm's own but the row's; "-" for none. With the driver
#               index it names an index, too
#     index     IMAGE [NAME…]: another image in place of that index, and layers of which it is named in place of the stack's
#     disks     IMAGE=SERIAL…: disks that are attached besides, read-only
#     append    added to the kernel's command line
#     options   added to mlimg-vm's
#     stops     the boot must end with exactly this line, on the console too
#     checks    or: the guest comes up, and then this function with its arguments looks at it. It may stop it and start others
#     damages   "user": a user layer that a row has damaged need not be clean afterwards
#
# IMAGE is NAME for NAME.img, one that the row has made if there is one; `system` and `user` are the row's own. In values {NAME} is the first 20
# digits of an image's id, {NAME.uuid} its UUID, {NAME.index} that of an index, {NAME.size} its bytes, {stack} the id of the stack, {driver} the
# driver, and other words are what a change has put into ${words[…]}.
#
# What is found out about a guest comes through its ports; the console is only looked at for what people are to see there.

table_load() {
	local rows
	load "$MLIMG_TOP/tests/lib/small"
	for rows in "$MLIMG_TOP"/tests/vm/rows/*.bash; do
		# shellcheck source=/dev/null
		. "$rows"
	done
	declare -gA field=() words=()
}

setup_file() {
	table_load
	export MLIMG_FLAVOUR=$boot_flavour
	small_make "$BATS_FILE_TMPDIR" --unionfs "$(command -v unionfs)"
}

setup() {
	table_load
	small_begin
	images_of_row=$BATS_TEST_TMPDIR
	# Another than $user, where a row's kernel parameters name one.
	wanted_user=''
}

teardown() {
	vm_kill
}

# table_row TITLE: sets field[KEY].
table_row() {
	local line key='' found=''
	while IFS= read -r line; do
		case $found$line in
			"row: $1") found=y ;;
			'yrow: '*) break ;;
			'y' | 'y#'*) ;;
			'y'[[:blank:]]*) field[$key]+=" ${line#"${line%%[![:blank:]]*}"}" ;;
			'y'*) key=${line%%:*} field[${line%%:*}]=${line#*: } ;;
		esac
	done <"$boot_table"
	[ -n "$found" ] || {
		echo "$boot_table has no row '$1'" >&2
		return 1
	}
}

# image NAME: its file.
image() {
	case $1 in
		user) echo "$user" ;;
		system) echo "$system" ;;
		*) if [ -e "$images_of_row/$1.img" ]; then echo "$images_of_row/$1.img"; else echo "$images/$1.img"; fi ;;
	esac
}

# stack_id IMAGE…: the id of this stack, as a serial holds it.
stack_id() {
	local image
	for image in "$@"; do image_id "$image"; done | sha256sum | cut -c 1-20
}

# files NAME…: theirs, a line each.
files() {
	local name
	for name in "$@"; do image "$name"; done
}

# The stack that the row's kernel parameters name, as files, bottom first.
row_stack() {
	# shellcheck disable=SC2086 # words
	files system ${field[stack]#-}
}

# expand TEXT: {…} replaced.
expand() {
	local text=$1 out='' name
	while [[ $text =~ ^([^{]*)\{([^}]+)\}(.*)$ ]]; do
		out+=${BASH_REMATCH[1]} name=${BASH_REMATCH[2]} text=${BASH_REMATCH[3]}
		if [ -n "${words[$name]+y}" ]; then
			out+=${words[$name]}
		else
			case $name in
				*.uuid) out+=$(uuid "$(image "${name%.*}")") ;;
				*.index) out+=$(index_uuid "$(image "${name%.*}")") ;;
				*.size) out+=$(stat -c %s "$(image "${name%.*}")") ;;
				driver) out+=$vm_union ;;
				*) out+=$(short "$(image "$name")") ;;
			esac || return
		fi
	done
	printf '%s\n' "$out$text"
}

# index_uuid FILE: an index's UUID as messages show it.
index_uuid() {
	mlimg-agent identify "$1" | cut -f 4
}

# The index that the row's kernel parameters name. Adds its disk to qemu, and sets words[stack], and words[index], how messages list this disk,
# which the guest has before mlimg-vm's.
row_index() {
	local file=$images_of_row/row.idx stack names
	words[index]=''
	[ "$vm_union" = index ] || return 0
	mapfile -t stack < <(row_stack)
	read -ra names <<<"${field[index]-}"
	[ ${#names[@]} -le 1 ] || mapfile -t stack < <(files system "${names[@]:1}")
	words[stack]=$(stack_id "${stack[@]}") || return
	if [ ${#names[@]} -gt 0 ]; then
		file=$(image "${names[0]}")
	else
		mlimg-index --quiet -o "$file" "${stack[@]}" || return
	fi
	mapfile -t -O ${#qemu[@]} qemu < <(disk "$file" "${words[stack]}" index)
	words[index]="/dev/vdX (serial ${words[stack]}) with an index, UUID $(index_uuid "$file"), "
}

# The kernel parameters of a row with `stack:`. mlimg-vm is told another driver, so that it compiles and attaches nothing itself.
row_parameters() {
	local software user=${wanted_user:-$user}
	mapfile -t software < <(row_stack | tail -n +2)
	echo "$(command_line "${software[@]}") mlimg.union=$vm_union${words[stack]:+ mlimg.index=${words[stack]}}" "$(expand "${field[append]-}")"
}

# Fills arguments, of mlimg-vm, and qemu.
row_arguments() {
	local name number=0 software
	eval "software=(${field[software]-})"
	for name in "${software[@]}"; do arguments+=(--software "$(image "$name")"); done
	for name in ${field[disks]-}; do
		number=$((number + 1))
		mapfile -t -O ${#qemu[@]} qemu < <(disk "$(image "${name%%=*}")" "$(expand "${name#*=}")" "extra$number")
	done
	# shellcheck disable=SC2206 # words
	arguments+=(${field[options]-})
	if [ -z "${field[stack]-}" ]; then
		[ -z "${field[append]-}" ] || arguments+=(--append "$(expand "${field[append]}")")
		return 0
	fi
	row_index && qemu+=(-append "$(row_parameters)")
}

# row_start: the row's guest. Checks call it for the same guest again.
row_start() {
	local arguments=() qemu=() driver=$vm_union
	row_arguments || return
	[ -z "${field[stack]-}" ] || driver=overlay
	vm_union=$driver start "$@" "${arguments[@]}" -- "${qemu[@]}"
}

# boot_row TITLE DRIVER
boot_row() {
	local need
	export vm_union=$2
	table_row "$1"
	for need in ${field[needs]-}; do
		[ -e "$images/$need.made" ] || "make_$need" "$images"
		: >"$images/$need.made"
	done
	# shellcheck disable=SC2086 # words
	[ -z "${field[change]-}" ] || ${field[change]}
	row_start
	if [ -n "${field[stops]-}" ]; then
		row_stops "$(expand "${field[stops]}")"
	else
		vm_up t
		# shellcheck disable=SC2086 # words
		${field[checks]}
		[ -z "${vm_pids[t]-}" ] || vm_stop t
	fi
	[ "${field[damages]-}" = user ] || vm_clean "$user"
}

# row_stops MESSAGE: mlimg-vm says it, and so does the console, at the beginning of a line.
row_stops() {
	stops "$1"
	tr -d '\r' <"$vms/t/console.log" | sed 's:/dev/vd[a-z]*:/dev/vdX:g' | grep -xF "mlimg: $1" >/dev/null || {
		echo "the console does not say so" >&2
		vm_tell t
	}
}
