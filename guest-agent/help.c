/* SPDX-License-Identifier: MIT */
#include "guest-agent/calls.h"
#include "guest-agent/port.h"
#include "tools/cli.h"

static const char help_text[] =
	"Usage: mlimg-agent daemon [--port PORT] [--run DIR]\n"
	"       mlimg-agent identify [--want ID]... [DEV...]\n"
	"       mlimg-agent check-index --index DEV --layer DEV...\n"
	"       mlimg-agent prepare --root DIR --union DRIVER --system ID\n"
	"                   [--patch ID]... [--software ID]... --user ID\n"
	"       mlimg-agent commit --root DIR\n"
	"       mlimg-agent stage [--port PATH] STAGE [DETAIL]\n"
	"The part of mlimg that runs in a guest: as a daemon that answers the host, and\n"
	"once for each step of the boot, from the initramfs.\n"
	"\n"
	"daemon              answer the host's requests\n"
	"  --port PORT       a device, or unix:PATH to listen on a socket (default: the\n"
	"                    virtio-serial port '" MLIMG_PORT_NAME "')\n"
	"  --run DIR         where the boot left its notes (default: " MLIMG_RUN_DIR ")\n"
	"identify            say what is on each disk, one line each:\n"
	"                    DEV STATE KIND UUID SERIAL DETAIL (default: all disks)\n"
	"  --want ID         a disk with this serial must hold a layer or an index\n"
	"check-index         compare the layers' disks with the index compiled from them\n"
	"  --index DEV       the index\n"
	"  --layer DEV       a layer, bottom first\n"
	"prepare             compare the mounted layers with what is wanted and with what\n"
	"                    the user layer last ran on; nothing of the user's is changed\n"
	"  --root DIR        where they are mounted, and where boot.json is written\n"
	"  --union DRIVER    how they become one tree: index or overlay\n"
	"  --system ID       build id of each layer, or 20 digits of it or more;\n"
	"  --patch ID        patches and software layers bottom first\n"
	"  --software ID\n"
	"  --user ID\n"
	"commit              record in the user layer what prepare has found\n"
	"  --root DIR        as above\n"
	"stage               tell the host how far the boot has come; quiet if it cannot\n"
	"  --port PATH       the device to write to (default: as above)\n"
	"\n"
	"  -h, --help        print this\n"
	"  -V, --version     print the version\n"
	"\n"
	"Exit status: 0 done, 1 failed, 2 wrong usage, 3 image refused.\n";

int mlimg_call_help(void)
{
	return mlimg_cli_help(MLIMG_AGENT_PROG, help_text);
}
