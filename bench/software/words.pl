# Counts the words of a text: hashes and regular expressions.
use strict;
open(my $file, "<", "/data/text") or die "no text: $!";
my %count;
while (my $line = <$file>) {
    $count{lc $1}++ while $line =~ /([A-Za-z]+)/g;
}
my @most = (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0 .. 9];
print "$_ $count{$_}\n" for @most;
