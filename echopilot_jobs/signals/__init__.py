"""What the machine's own files, ledger, process table and figures say: read, judged by rules, told in sentences.

    sources → scan → table → timeline → rules → brief → page

Nothing here knows a file by name: fields get their meaning from what they are called and what they hold.
"""
